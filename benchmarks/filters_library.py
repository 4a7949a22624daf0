"""Gopher quality and repetition filters as library calls: ours, and datatrove's on the same words."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.measure import run
from benchmarks.report import Setting, ratio, setting, spread, table, write_result

SMALL_MB = 2  # of the informational run with spaCy's words
REASONS = {  # datatrove's name of each of our rules that its own name does not give
    "few_words": "gopher_short_doc",
    "many_words": "gopher_long_doc",
    "short_words": "gopher_below_avg_threshold",
    "long_words": "gopher_above_avg_threshold",
    "hashes": "gopher_too_many_hashes",
    "ellipses": "gopher_too_many_ellipsis",
    "bullet_lines": "gopher_too_many_bullets",
    "ellipsis_lines": "gopher_too_many_end_ellipsis",
    "few_alpha_words": "gopher_below_alpha_threshold",
    "few_stop_words": "gopher_enough_stop_words",
    "duplicate_paragraphs": "dup_para_frac",
    "duplicate_paragraph_characters": "dup_para_char_frac",
    "duplicate_lines": "dup_line_frac",
    "duplicate_line_characters": "dup_line_char_frac",
    **{f"top_{n}_gram_characters": f"top_{n}_gram" for n in (2, 3, 4)},
    **{f"duplicate_{n}_gram_characters": f"duplicated_{n}_n_grams" for n in range(5, 11)},
}


def call(given: Setting, side: str, task: str, source: Path) -> dict[str, Any]:
    """Run one side once in a process of its own; return its answer."""
    answer = given.work / "answer.json"
    ours = [sys.executable, "-m", "benchmarks.ours_library"]
    peer = [given.peers, Path(__file__).with_name("peer_library.py")]
    cost = run([*(ours if side == "ours" else peer), task, source, answer], given.log(task), answer)
    return cost.answer


def mismatches(ours: dict[str, Any], peer: dict[str, Any]) -> list[tuple[int, int, str, str]]:
    """Return (filter, row, our reason, datatrove's) wherever they differ, reasons included."""
    return [
        (number, row, a, b)
        for number, (left, right) in enumerate(zip(ours["reasons"], peer["reasons"], strict=True))
        for row, (a, b) in enumerate(zip(left, right, strict=True))
        if REASONS.get(a, a) != b
    ]


def main() -> None:
    """Measure, compare decision by decision, and write the result."""
    with setting(__doc__ or "") as given:
        corpus = given.input("corpus.parquet")
        small = given.made("slice.parquet", lambda out: inputs.cut_slice(corpus, given.bench, out))
        tiny = given.made("tiny.parquet", lambda out: inputs.cut_slice(corpus, given.bench, out, SMALL_MB, seed=1))
        ours, peer = [], []
        for _ in range(given.rounds):
            ours.append(call(given, "ours", "filters", small))
            peer.append(call(given, "peer", "filters", small))
        wrong = mismatches(ours[0], peer[0])
        rows = [line("seeded slice", small, ours, [peer], wrong)]
        if not given.quick:
            before = call(given, "ours", "filters", corpus)
            whole = call(given, "peer", "filters", corpus)
            wrong = mismatches(before, whole)
            rows.append(
                line("whole corpus", corpus, [before, call(given, "ours", "filters", corpus)], [[whole]], wrong)
            )
        own, spacy = call(given, "ours", "filters", tiny), call(given, "peer", "filters_spacy", tiny)
        rows.append(line("datatrove with spaCy's words, its default", tiny, [own], [[spacy]], None))
        head = ["input", "documents", "MB", "runs ours/peer", "ours CPU s", "ours MB/s", "datatrove CPU s", "ratio",
                "decisions that differ"]  # fmt: skip
        dropped = sum(bool(a or b) for a, b in zip(*ours[0]["reasons"], strict=True))
        body = [
            "Library call: decoded text in, the first reason to drop of each of the two filters out; one thread, one "
            "fresh process a round, warmed up, sides in turn. Ours judges every document by both filters; datatrove's "
            "second sees only what the first kept (the rest is judged off its clock, for the comparison). "
            "`split_into_words` is `str.split` in the peer's process but in the last row.\n",
            table(head, rows),
            f"\nTarget: 25 times, no decision different. In the slice {dropped} documents are dropped. A decision is "
            "compared filter by filter with the name of its rule.",
            *(f"- differs: {found}" for found in wrong[:10]),
        ]
        write_result("filters_library", "Gopher filters, library call", given, ["numba", "numpy"], "\n".join(body))


def line(
    name: str,
    source: Path,
    ours: list[dict[str, Any]],
    peers: list[list[dict[str, Any]]],
    wrong: list[tuple[int, int, str, str]] | None,
) -> list[str]:
    """Return one row of the table."""
    text = inputs.corpus(source)
    own, other = [a["cpu"] for a in ours], [a["cpu"] for a in peers[0]]
    megabytes = inputs.text_mb(text)
    speed = spread([megabytes / seconds for seconds in own], 0)
    differ = "not comparable" if wrong is None else f"{len(wrong)} of {2 * len(text):,}"
    return [name, f"{len(text):,}", f"{megabytes:.1f}", f"{len(own)}/{len(other)}", spread(own), speed,
            spread(other, 1), ratio(other, own), differ]  # fmt: skip


if __name__ == "__main__":
    main()
