"""One whole deduplication of either side, files to files: what it cost and which documents it kept."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.measure import Cost, run
from benchmarks.report import Setting

FILES = 4  # of the corpus, on both sides: datatrove works file by file
WORKERS = 2


@dataclass(frozen=True)
class Run:
    """One run of one side."""

    cost: Cost
    kept: set[int]  # ids


def ours(given: Setting, source: Path, *options: str, workers: int = WORKERS) -> Run:
    """Run our command once on a folder of Parquet or JSONL files, or one file."""
    out = given.work / "ours"
    shutil.rmtree(out, ignore_errors=True)
    files = str(source / f"*{next(source.iterdir()).suffix}") if source.is_dir() else str(source)
    command = [sys.executable, "-m", "pipelines.cli", "curate", "dedup", "--input", files, "--output", str(out)]
    cost = run([*command, "--workers", str(workers), "--device", "cpu", *options], given.log("ours"))
    return Run(cost, ids(out / "documents"))


def peer(given: Setting, source: Path) -> Run:
    """Run datatrove's four stages once on a folder of Parquet files."""
    out = given.work / "peer"
    shutil.rmtree(out, ignore_errors=True)
    said = {"input": str(source), "output": str(out), "files": len(list(source.glob("*.parquet")))}
    program = Path(__file__).with_name("peer_pipelines.py")
    cost = run([given.peers, program, "dedup", json.dumps(said)], given.log("peer"))
    return Run(cost, ids(out / "documents"))


def ids(folder: Path) -> set[int]:
    """Return the ids of the documents in a folder of Parquet files."""
    names = (pq.read_table(file, columns=["id"])["id"].to_pylist() for file in folder.glob("*.parquet"))
    return {int(name) for some in names for name in some}
