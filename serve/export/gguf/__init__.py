"""GGUF, what llama.cpp and its kin read: one file of metadata, vocabulary and tensors.

tensors.py     which Hugging Face tensors make up each of its, and how they lie
metadata.py    the model's shape in its words, and back in those of config.json
vocabulary.py  tokenizer.json in its words, and back
reading.py     a file as its reader computes with it
format.py      the export
"""
