"""Models in this process as subjects.

tree.py        token sequences as one row in which what they begin with alike stands once
attention.py   attention of such a row
network.py     its forward pass
writer.py      answers by the engine
opening.py     a model's folder, opened
language.py    the subject
reward.py      a reward model as a subject
"""
