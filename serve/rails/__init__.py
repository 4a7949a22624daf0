"""What is checked of prompts and answers, and may be changed in them.

rail.py   the interface
"""
