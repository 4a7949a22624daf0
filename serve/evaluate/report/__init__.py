"""The page of an evaluation: one file, no network.

page.py      its parts
figures.py   values with their errors, drawn
"""
