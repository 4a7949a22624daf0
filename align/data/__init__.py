"""Files of instructions, preferences and tasks in, tokens with loss masks out."""
