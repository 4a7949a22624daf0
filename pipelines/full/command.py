"""`millrace demo --full`: the command line's side."""

from __future__ import annotations

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
    made = steps(folder, wanted)
    runner.run(made, folder, lambda line: print(line, flush=True), told, Progress().say)
    print(f"report     {storage.join(folder, made[-1].makes)}")
    return 0
