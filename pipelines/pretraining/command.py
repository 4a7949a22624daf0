"""`millrace pretrain`: a recipe or YAML file, trained on this machine's ranks."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def arguments(made: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    made.add_argument("config", help="a recipe (pretrain-tiny, llama-125m, llama-1b, ...) or a YAML file")
    made.add_argument("--output", metavar="RUN", help="the run folder (default: runs/ and the recipe's name)")
    made.add_argument("--shards", nargs="+", metavar="RUN", help="runs or tokens/ folders to train on: data.shards")
    made.add_argument(
        "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", help="change a setting; repeatable"
    )
    made.add_argument("--max-restarts", type=int, metavar="N", help="start anew after a lost rank: guard.max_restarts")
    made.add_argument("--plan", action="store_true", help="say how the model would be spread, and run nothing")
    made.add_argument("--prepare", action="store_true", help="only write RUN/run.json, for ranks started elsewhere")
    planned = made.add_argument_group("another machine, for --plan and --prepare")
    planned.add_argument("--gpus", type=int, metavar="N", help="in all")
    planned.add_argument("--gpu-memory", type=float, default=80.0, metavar="GIB", help="of each (default: 80)")
    planned.add_argument("--gpus-per-node", type=int, default=8, metavar="N", help="(default: 8)")


def run(given: Any) -> int:
    """Train, or say what would be done."""
    import dataclasses

    from millrace.errors import ConfigError
    from millrace.progress import Progress
    from pipelines import pretraining
    from pretrain.machine import Machine
    from pretrain.run import start

    config = pretraining.load(given.config, given.set)
    if given.shards:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, shards=tuple(given.shards)))
    if given.gpus and not (given.plan or given.prepare):
        raise ConfigError("--gpus describes another machine: it goes with --plan or --prepare")
    machine = Machine.gpus(given.gpus, given.gpu_memory, given.gpus_per_node) if given.gpus else Machine.here()
    prepared = start.prepare(config, machine)
    print(prepared.describe(), flush=True)
    if given.plan:
        return 0
    folder = given.output or f"runs/{Path(given.config).stem}"
    if given.prepare:
        with start.held(folder):
            start.write(prepared, folder)
        return 0
    restarts = config.guard.max_restarts if given.max_restarts is None else given.max_restarts
    code = start.start(prepared, folder, restarts, given.debug, Progress())
    _finish(folder)
    return code


def _finish(folder: str) -> None:
    """Print what the run came to, and write its report."""
    from millrace import storage
    from pretrain.report import write_report
    from pretrain.report.summary import summary

    folder = storage.absolute(folder)
    print(summary(folder))
    print(f"report     {write_report(folder)}")
