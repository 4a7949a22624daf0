"""The methods, one a file: what each reads, what it minimises, and how it goes on."""

from __future__ import annotations

import importlib

from align.methods.method import Method
from align.run.job import Job


def open_method(job: Job) -> Method:
    """Return the method of a job's configuration, at work on this rank."""
    made: Method = importlib.import_module(f"align.methods.{job.config.method}").open_method(job)
    return made
