"""Checkpoint in, exported engines, scores and answers out.

model.py    what a user names as a model: a run, or a Hugging Face folder
export/     one format a module, each ends with a test of what it wrote
engine/     tokens in, tokens out: continuous batching over a block cache, on CPU and GPU
server/     the OpenAI-compatible HTTP front, before the engine or before another server
rails/      what is checked of prompts and answers
evaluate/   tasks, their scores and standard errors
"""
