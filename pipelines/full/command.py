"""`millrace demo --full`: the command line's side."""

from __future__ import annotations

import sys
from typing import Any

from millrace import storage

DEFAULT = "runs/full"
FORWARDED = ("workers", "scheduler", "tokenizer", "limit", "forget")  # options of curation, as they are


def run(given: Any) -> int:
    """Run what is not done of the demo, and print the page's place. Raises ConfigError, StepError."""
    from millrace.progress import Progress
    from pipelines.full import runner
    from pipelines.full.plan import steps, wishes
    from pipelines.full.told import told

    folder = storage.absolute(given.output or DEFAULT)
    curation = [
        word
        for name in FORWARDED
        if (value := getattr(given, name)) is not None
        for word in (f"--{name}", storage.absolute(value) if name in ("tokenizer", "forget") else str(value))
    ]
    curation += ["--device", given.device] if given.device != "auto" else []
    curation += ["--strict"] if given.strict else []
    wanted = wishes(given.set, curation)
    runner.run(steps(folder, wanted), folder, _line, told, Progress().say)
    return 0


def _line(said: str) -> None:
    print(said, flush=True)
    sys.stdout.flush()
