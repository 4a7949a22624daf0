"""Hugging Face folders in and out: configuration, weights, tokenizer. Megatron's names and layouts are data here.

config.py           config.json <-> pretrain.config.Model
tables.py           which rows of which Hugging Face tensor make up each of Megatron's, one table a family
rows.py             the one rule both directions follow
folder.py           safetensors: parts read where they lie, folders written tensor by tensor
weights.py          import_weights, export_weights
dist_checkpoint.py  Megatron's distributed checkpoints, read without Megatron
"""
