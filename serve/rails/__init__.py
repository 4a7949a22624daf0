"""What is checked of prompts and answers, and may be changed in them.

rail.py        the interface: a text in, a verdict out
rails.py       several rails as one, before the model and after it
compose.py     rails out of a YAML file
messages.py    the texts of a message
words.py       lists of words, by folding.py: what a word is, and what is the same word
regex.py       patterns, in linear time
pii.py         personal data, by what the curator hands over
classifier.py  scores, by what the curator hands over
judge.py       a language model behind a URL
nemo.py        NeMo Guardrails, where it is installed
"""
