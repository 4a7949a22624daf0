"""`millrace demo --full`: from a crawl to an answer, on two CPU cores, each step resumable.

plan.py       the steps as data: what each needs, makes and runs
runner.py     runs what is not done, measures it, and goes on where it was killed
command.py    the command line's side
documents.py  the kept documents, and which of them nothing may learn from
sections.py   headings and what stands under them
tasks.py      seeded arithmetic and tasks of form
records.py    training and held-out files out of these, and a manifest
"""
