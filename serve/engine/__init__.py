"""Tokens in, tokens out: continuous batching over a block cache, on CPU and GPU.

request.py    what is asked of an engine and what it tells, and the interface of engines
settings.py   how an engine uses its machine
opening.py    from a model's folder to an engine that runs: `open_engine`
engine.py     the thread that runs step after step, and the doors to it
check.py      what a request may be
scheduler.py  who runs, into which blocks
sequence.py   a request as the engine's thread keeps it
answers.py    a step from its parts to what is told
sampler.py    a token a row, each as its own request wants it
weights.py    a Hugging Face folder's weights, as the forward pass wants them
decoder.py    the forward pass over tokens of many sequences
step.py       which tokens a pass reads, and where their keys and values go
linear.py     matrix products
between.py    what lies between them, in torch and compiled
attention.py  attention over blocks, in torch
kernels.py    the compiled loops, for a CPU
rope.py       rotary positions
cache.py      keys and values in blocks, and who holds which
adapters.py   LoRA adapters of requests in one batch
"""
