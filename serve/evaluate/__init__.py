"""Tasks, their scores and standard errors, and how two models differ.

task.py       what a task is given and what it gives
files.py      records out of files, every mistake named
shots.py      which solved examples stand before a question
pairs.py      contexts and continuations as tokens
choice.py     multiple choice by log-likelihood
generate.py   answers that a model writes
mean.py       means over items, and their errors
interval.py   intervals where that error does not hold
conversations.py  prompts, pairs and answers, in the formats that alignment reads
tasks/        the tasks, by name
local/        models in this process as subjects
evaluate.py   a model measured by tasks, each written when it is done
results.py    results as files
compare.py    two models on the same items
report/       the page
"""
