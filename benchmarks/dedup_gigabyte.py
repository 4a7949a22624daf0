"""One gigabyte of text through both whole commands: the corpus, and three perturbed copies of it."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import inputs, kept, quality
from benchmarks.dedup_runs import FILES, Run, ours, peer
from benchmarks.measure import Cost
from benchmarks.report import Setting, peer_versions, ratio, spread, table

COPIES = 4
TARGET = 50


def measured(given: Setting, corpus: Path) -> str:
    """Run our command on the gigabyte in rounds, as Parquet and as JSONL, and datatrove once; return the text.

    datatrove takes about half an hour: with --work its answer is kept, and a later run takes it from there.
    """
    parquet = given.made("gigabyte", lambda out: inputs.cut_parquet(corpus, out, FILES, COPIES))
    jsonl = given.made("gigabyte-jsonl", lambda out: inputs.cut_jsonl(parquet, out))
    runs: dict[str, list[Run]] = {"Parquet": [], "JSONL": []}

    def rounds(number: int) -> None:
        for _ in range(number):
            runs["Parquet"].append(ours(given, parquet))
            runs["JSONL"].append(ours(given, jsonl))

    rounds(given.rounds // 2)
    told = once_told(given, parquet)
    rounds(given.rounds - given.rounds // 2)
    other = Run(Cost(**told["cost"]), set(told["kept"]))
    alike = quality.find_alike(text := inputs.corpus(corpus), given.bench)
    own = text["id"].to_numpy()
    first = [r.cost.cpu for r in runs["Parquet"]]
    rows = []
    for side, files, found in (
        ("ours", "Parquet", runs["Parquet"]), ("ours", "JSONL", runs["JSONL"]), ("datatrove", "Parquet", [other])
    ):  # fmt: skip
        cpu, cost = [r.cost.cpu for r in found], found[0].cost
        memory = [f"{getattr(cost, kind):,.0f}" for kind in ("worker_mb", "main_mb", "tree_mb")]
        times = "" if side == "ours" else ratio(cpu, first)
        verdict = quality.judge(alike, np.isin(own, list(found[0].kept))).cells()
        rows.append([side, files, str(len(cpu)), spread(cpu, 1), spread([r.cost.wall for r in found], 1), times,
                     *memory, f"{len(found[0].kept):,}", *verdict])  # fmt: skip
    megabytes = sum(inputs.text_mb(inputs.corpus(file)) for file in sorted(parquet.iterdir()))
    head = ["tool", "files", "runs", "CPU s", "wall s", "times ours on Parquet", "peak MB of a worker",
            "of the main process", "of the tree", "kept", *quality.HEAD]  # fmt: skip
    return "\n".join(
        [
            f"The corpus and {COPIES - 1} copies with other ids and other words (a letter more on each word that a "
            f"space follows): {COPIES * len(text):,} documents, {megabytes:,.0f} MB of text, {COPIES * FILES} files. "
            f"datatrove ran once, on {told['date']}. Quality is that of the corpus itself, the first copy.\n",
            table(head, rows),
            f"\nTarget: {TARGET} times.",
        ]
    )


def once_told(given: Setting, source: Path) -> dict[str, Any]:
    """Return datatrove's cost on a folder and the ids it kept, from an earlier run where one is kept."""

    def ask() -> dict[str, Any]:
        made = peer(given, source)
        date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        return {"cost": asdict(made.cost), "kept": sorted(made.kept), "date": date}

    programs = [Path(__file__).with_name(name).read_text() for name in ("peer_pipelines.py", "inputs.py")]
    return kept.answer(given.work, f"datatrove-{source.name}", [peer_versions(given.peers), *programs], ask)
