"""Checkpoints of TensorRT-LLM's TensorRT backend (up to release 1.2): config.json and a file of tensors a rank.

tables.py       which Hugging Face tensors make up each of a rank's, one table a family
ranks.py        what is in the file of one rank, tensor by tensor
scales.py       FP8 scales of weights, activations and the KV cache
config.py       config.json
layers.py       what TensorRT-LLM's layers ask of a rank's file, and what its configuration classes know
join.py         a written checkpoint back to Hugging Face tensors
checkpoint.py   the format: its settings, what it refuses, its test
"""
