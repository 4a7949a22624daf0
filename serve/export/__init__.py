"""Models into folders that others load.

source.py   the tensors of a model by their Hugging Face names, read where they lie
format.py   what every format is, and what its test says
"""
