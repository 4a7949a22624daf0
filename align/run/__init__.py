"""From a configuration to ranks at work, and the loop they run."""
