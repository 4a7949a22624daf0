"""Tasks, their scores and standard errors.

task.py   what a task is given and what it gives
"""
