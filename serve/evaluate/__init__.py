"""Tasks, their scores and standard errors.

task.py     what a task is given and what it gives
files.py    records out of files, every mistake named
shots.py    which solved examples stand before a question
pairs.py    contexts and continuations as tokens
choice.py   multiple choice by log-likelihood
mean.py     means over items, and their errors
tasks/      the tasks, by name
local/      models in this process as subjects
"""
