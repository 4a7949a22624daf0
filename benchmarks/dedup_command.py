"""Deduplication as a whole command, files to files: `millrace curate dedup` and datatrove's MinHash run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import dedup_gigabyte, inputs, quality
from benchmarks.dedup_runs import FILES, WORKERS, Run, ours, peer
from benchmarks.report import Setting, ratio, setting, spread, table, write_result

TINY = 400  # documents, one a part at most
GIGABYTE = {"gigabyte": {"action": "store_true", "help": "the slice and 1 GB of text; half an hour in the peer"}}


def compared(given: Setting, name: str, corpus: Path, order: list[str]) -> tuple[list[list[str]], str]:
    """Run the sides in this order on the same files; return a row each, and a line on the input."""
    files = given.made(f"files-{corpus.stem}", lambda out: inputs.cut_parquet(corpus, out, FILES))
    runs: dict[str, list[Run]] = {}
    for side in order:
        runs.setdefault(side, []).append((ours if side == "ours" else peer)(given, files))
    text: pa.Table = inputs.corpus(corpus)
    alike = quality.find_alike(text, given.bench)
    own = [r.cost.cpu for r in runs["ours"]]
    rows = []
    for side, found in runs.items():
        cpu = [r.cost.cpu for r in found]
        kept = np.isin(text["id"].to_numpy(), list(found[0].kept))
        wall = spread([r.cost.wall for r in found], 1)
        memory = [f"{max(r.cost.worker_mb for r in found):,.0f}", f"{max(r.cost.tree_mb for r in found):,.0f}"]
        times = "" if side == "ours" else ratio(cpu, own)
        verdict = quality.judge(alike, kept).cells()
        rows.append([name, side, str(len(cpu)), spread(cpu, 1), wall, times, *memory, *verdict])
    return rows, f"- {name}: {len(text):,} documents, {inputs.text_mb(text):.1f} MB of text, {FILES} files"


def memory(given: Setting, corpus: Path) -> str:
    """Return how memory and CPU seconds go with the number of parts and the size of the corpus."""
    rows = []
    four = given.made("gigabyte", lambda out: inputs.cut_parquet(corpus, out, FILES, dedup_gigabyte.COPIES))
    for name, source, options in (
        ("as it is, parts of 64 MB", corpus, []),
        ("as it is, parts of 8 MB", corpus, ["--set", "ReadParquet.part_mb=8"]),
        ("four times as large", four, []),
    ):
        made = ours(given, source, *options)
        parts = len(json.loads((given.work / "ours" / "inputs.json").read_text())["parts"])
        cost = made.cost
        rows.append([name, parts, f"{len(made.kept):,}", f"{cost.cpu:.1f}", f"{cost.wall:.1f}",
                     f"{cost.worker_mb:,.0f}", f"{cost.main_mb:,.0f}"])  # fmt: skip
    head = ["corpus.parquet", "parts", "kept", "CPU s", "wall s", "peak MB of a worker", "of the main process"]
    return table(head, rows)


def parts_cost(given: Setting, corpus: Path, rounds: int) -> str:
    """Return what a part costs in itself, with Dask and without, by the same documents in few and many files."""
    few = given.made("few.parquet", lambda out: pq.write_table(inputs.corpus(corpus).slice(0, TINY), out))

    def cut(files: int) -> Path:
        return given.made(f"tiny-{files}", lambda out: inputs.cut_parquet(few, out, files))

    folders = {n: cut(n) for n in (1, 10, TINY)}
    rows = []
    for workers in (WORKERS, 0):
        costs = {n: [ours(given, f, workers=workers).cost for _ in range(rounds)] for n, f in folders.items()}
        for kind in ("cpu", "wall"):
            seconds = {n: sorted(getattr(c, kind) for c in found)[rounds // 2] for n, found in costs.items()}
            each = 1000 * (seconds[TINY] - seconds[10]) / (TINY - 10)
            rows.append([workers or "none, no Dask", kind, *(f"{seconds[n]:.2f}" for n in folders), f"{each:.1f}"])
    head = ["workers", "seconds of", "1 part (start-up)", "10 parts", f"{TINY} parts", "ms a part"]
    return table(head, rows)


def main() -> None:
    """Measure, judge, and write the result; the comparison is written before memory and parts are measured."""
    with setting(__doc__ or "", **GIGABYTE) as given:
        corpus = given.input("corpus.parquet")
        small = given.made("slice.parquet", lambda out: inputs.cut_slice(corpus, given.bench, out))
        rows, said = compared(given, "seeded slice", small, ["ours", "datatrove"] * given.rounds)
        lines = [said]
        if given.given.gigabyte:
            more = dedup_gigabyte.measured(given, corpus)
            write(given, lines, rows, "\n## One gigabyte\n\n" + more, "dedup_gigabyte")
            return
        if not given.quick:
            order = ["ours", "ours", "datatrove", "ours", "ours", "ours"]
            whole, said = compared(given, "whole corpus", corpus, order)
            rows, lines = [*whole, *rows], [said, *lines]
        write(given, lines, rows, "")
        if not given.quick:
            more = ["\n## Memory and the number of parts\n", memory(given, corpus), "\nThe larger corpus: three copies "
                    "more, with other ids and other words, so with four times the near-duplicates.",
                    "\n## What a part costs\n", parts_cost(given, corpus, 3)]  # fmt: skip
            write(given, lines, rows, "\n".join(more))


def write(given: Setting, lines: list[str], rows: list[list[str]], more: str, theme: str = "dedup_command") -> None:
    """Write the result."""
    head = ["input", "tool", "runs", "CPU s", "wall s", "times ours", "peak MB of a worker", "of the tree",
            *quality.HEAD]  # fmt: skip
    body = [
        "Whole command, whole process tree, files in and files out, 2 workers, the same Parquet files, sides in "
        "turn. Ours: `millrace curate dedup` (exact, then near duplicates, with ledger and report). datatrove: "
        "ParquetReader, MinHash in 4 stages (14 buckets of 8, 5-grams), ParquetWriter; on the whole corpus it runs "
        "once, between ours.\n",
        *lines,
        "",
        table(head, rows),
        "\nTargets: 30 times on the whole corpus; recall at least 0.995; a worker below 2 GB, whatever the number "
        "of parts.",
        more,
    ]
    libraries = ["dask", "distributed", "pandas", "pyarrow", "numpy", "numba"]
    write_result(theme, "Deduplication, whole command", given, libraries, "\n".join(body))


if __name__ == "__main__":
    main()
