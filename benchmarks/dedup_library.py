"""Near-duplicate removal as a library call: ours, rensa and datatrove on the same decoded text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import inputs, kept, quality
from benchmarks.measure import run
from benchmarks.report import Setting, peer_versions, ratio, setting, spread, table, write_result

HERE = Path(__file__).parent
TASKS = {"ours": "dedup", "rensa": "rensa", "datatrove": "datatrove"}


def call(given: Setting, side: str, source: Path) -> dict[str, Any]:
    """Run one side once in a process of its own; return its answer."""
    answer = given.work / "answer.json"
    program = (
        [sys.executable, "-m", "benchmarks.ours_library"]
        if side == "ours"
        else [given.peers, Path(__file__).with_name("peer_library.py")]
    )
    cost = run(
        [*program, TASKS[side], source, answer], given.log(side), answer, RAYON_NUM_THREADS="1"
    )  # rensa's threads: CPU seconds would only grow
    return cost.answer


def judged(alike: quality.Alike, answer: dict[str, Any]) -> quality.Verdict:
    """Return the quality of one side's removals; ours must also name a kept witness for each."""
    kept = np.ones(alike.rows, bool)
    kept[answer["removed"]] = False
    if "witness" in answer:
        removed, witness = np.array(answer["removed"], np.int64), np.array(answer["witness"], np.int64)
        if not quality.witnesses_hold(alike, removed, witness, kept):
            sys.exit("a witness of ours was dropped, or is below the threshold")
    return quality.judge(alike, kept)


def compared(
    given: Setting, name: str, source: Path, order: list[str], kept_answer: dict[str, Any] | None = None
) -> tuple[list[list[str]], str]:
    """Run the sides in this order; return a row each (datatrove's of `kept_answer`, if given), and a line on the
    input."""
    answers: dict[str, list[dict[str, Any]]] = {}
    for side in order:
        answers.setdefault(side, []).append(call(given, side, source))
    if kept_answer:
        answers["datatrove"] = [kept_answer]
    text: pa.Table = inputs.corpus(source)
    alike = quality.find_alike(text, given.bench)
    megabytes = inputs.text_mb(text)
    ours = [a["cpu"] for a in answers["ours"]]
    rows = []
    for side, found in answers.items():
        cpu = [a["cpu"] for a in found]
        times = "" if side == "ours" else ratio(cpu, ours)
        speed = f"{megabytes / sorted(cpu)[len(cpu) // 2]:.2f}"
        rows.append([name, side, str(len(cpu)), spread(cpu), speed, times, *judged(alike, found[0]).cells()])
    said = (
        f"- {name}: {len(text):,} documents, {megabytes:.1f} MB; {len(alike.planted):,} planted pairs and "
        f"{len(alike.a):,} pairs in all with J >= 0.8, found exactly by prefix filtering; largest difference "
        f"to the truth's own similarities {alike.worst_error:.1e}"
    )
    return rows, said


def main() -> None:
    """Measure, judge, and write the result."""
    with setting(__doc__ or "") as given:
        corpus = given.input("corpus.parquet")
        small = given.made("slice.parquet", lambda out: inputs.cut_slice(corpus, given.bench, out))
        rows, said = compared(given, "seeded slice", small, ["ours", "rensa", "datatrove"] * given.rounds)
        lines = [said]
        if not given.quick:
            slow = kept.peer_answer(
                given.work, HERE / "peer_library.py", ("datatrove",), corpus, peer_versions(given.peers),
                lambda: call(given, "datatrove", corpus),
            )  # fmt: skip
            more, said = compared(given, "whole corpus", corpus, ["ours", "rensa"] * given.rounds, slow)
            rows, lines = [*more, *rows], [said, f"- datatrove on the whole corpus: once, {slow['date']}", *lines]
        head = ["input", "tool", "runs", "CPU s", "MB/CPU s", "times ours", *quality.HEAD]
        body = [
            "Library call: decoded text in, which documents go out; one thread, one fresh process a round, warmed up, "
            "sides in turn. All: 14 bands of 8 rows on 5-word shingles. Ours: sketches, LSH, exact verification and "
            "the witness rule (every removal names a kept document with exact J >= 0.8; checked), in batches as the "
            "runner's. rensa: `RMinHashDeduplicator.add_pairs` with shingles of `\\w+`, lower-cased, made on its "
            "clock. datatrove: its four MinHash stages called on documents in memory, defaults (spaCy words), its "
            "signature files in a memory file system; on the whole corpus it runs once, and with --work its answer is "
            "that of another script on this machine, if that asked before.\n",
            *lines,
            "",
            table(head, rows),
            "\nTargets: 300 MB/s a core, 15 times rensa, 300 times datatrove; recall at least 0.998; all removals "
            "justified.",
        ]
        write_result("dedup_library", "Near-duplicates, library call", given, ["numba", "numpy", "pyarrow"],
                     "\n".join(body))  # fmt: skip


if __name__ == "__main__":
    main()
