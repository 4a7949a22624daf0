"""Tokens in, tokens out: continuous batching over a block cache, on CPU and GPU.

request.py   what is asked of an engine and what it tells, and the interface of engines
"""
