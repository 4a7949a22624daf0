"""`millrace align`: a recipe or YAML file, run on this machine's ranks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def arguments(made: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    made.add_argument("config", help="a recipe (align-sft, align-dpo, align-grpo, ...) or a YAML file")
    made.add_argument("--output", metavar="RUN", help="the run folder (default: runs/ and the recipe's name)")
    made.add_argument(
        "--model", metavar="FOLDER", help="a Hugging Face folder, or a run that has one: model.start_from"
    )
    made.add_argument("--data", nargs="+", metavar="FILE", help="what is learnt from: data.path")
    made.add_argument(
        "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", help="change a setting; repeatable"
    )
    made.add_argument("--max-restarts", type=int, metavar="N", help="start anew after a lost rank: guard.max_restarts")
    made.add_argument("--plan", action="store_true", help="say what would run, and run nothing")
    made.add_argument("--prepare", action="store_true", help="only write RUN/run.json, for ranks started elsewhere")


def run(given: Any) -> int:
    """Align, or say what would be done."""
    import dataclasses

    from align.report import write_report
    from align.report.summary import summary
    from align.run import start
    from millrace import storage
    from millrace.progress import Progress
    from pipelines import alignment
    from pretrain.machine import Machine
    from pretrain.run.start import held

    config = alignment.load(given.config, given.set)
    if given.model:
        config = dataclasses.replace(config, model=dataclasses.replace(config.model, start_from=given.model))
    if given.data:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, path=tuple(given.data)))
    folder = storage.absolute(given.output or f"runs/{Path(given.config).stem}")
    prepared = start.prepare(config, Machine.here(), cache="" if given.plan else storage.join(folder, "work", "data"))
    print(prepared.describe(), flush=True)
    if given.plan:
        return 0
    if given.prepare:
        with held(folder):
            start.write(prepared, folder)
        return 0
    restarts = config.guard.max_restarts if given.max_restarts is None else given.max_restarts
    code = start.start(prepared, folder, restarts, given.debug, Progress())
    print(summary(folder))
    print(f"report     {write_report(folder)}")
    return code
