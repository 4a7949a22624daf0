"""One rank of an alignment run: `python -m align.run.worker FOLDER`; see pretrain.run.worker."""

from __future__ import annotations

import importlib
import sys

from align.config import Config
from pretrain.run.worker import Job, main

COMMAND = (sys.executable, "-m", "align.run.worker")  # the folder follows

if __name__ == "__main__":
    # imported here, where signals are caught: it brings torch
    main(Job(Config, lambda *given: importlib.import_module("align.run.train").train(*given)))
