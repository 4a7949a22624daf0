"""Gopher's, FineWeb's and C4's filters as library calls: ours, and datatrove's, on the same words."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import inputs
from benchmarks.measure import run
from benchmarks.report import Setting, ratio, setting, spread, table, write_result

SMALL_MB = 2  # of the run with datatrove's own words, which are dear
FILTERS = ("Gopher quality", "Gopher repetition", "FineWeb", "C4", "C4 but for sentences")
SENTENCES = 3  # place of the one that counts sentences, by a rule that is not datatrove's
C4 = (3, 4)  # where a text falls by two rules, datatrove names what it meets first: the verdict is compared
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
    "few_terminal_lines": "line_punct_ratio",
    "short_lines": "short_line_ratio",
    "duplicate_text_line_characters": "char_dup_ratio",
    "newlines": "list_ratio",
    **{f"top_{n}_gram_characters": f"top_{n}_gram" for n in (2, 3, 4)},
    **{f"duplicate_{n}_gram_characters": f"duplicated_{n}_n_grams" for n in range(5, 11)},
}


def call(given: Setting, side: str, task: str, source: Path, words: str = "spaces") -> dict[str, Any]:
    """Run one side once in a process of its own; return its answer."""
    answer = given.work / "answer.json"
    if side == "ours":
        command = [
            sys.executable,
            "-m",
            "benchmarks.ours_library",
            "filters",
            source,
            answer,
            json.dumps({"words": words}),
        ]
    else:
        command = [given.peers, Path(__file__).with_name("peer_library.py"), task, source, answer]
    return run(command, given.log(task), answer).answer


def mismatches(ours: dict[str, Any], peer: dict[str, Any]) -> list[list[tuple[int, str, str]] | None]:
    """Return, for each filter, (row, our reason, datatrove's) wherever they differ: in the reason, for C4 in the
    verdict or in what is left of a text that both keep. None: the peer was not asked."""
    found: list[list[tuple[int, str, str]] | None] = []
    for number, (left, right) in enumerate(zip(ours["reasons"], peer["reasons"], strict=True)):
        if right is None:
            found.append(None)
            continue
        rows = list(enumerate(zip(left, right, strict=True)))
        if number in C4:
            wrong = [(row, a, b) for row, (a, b) in rows if bool(a) != bool(b)]
            if number != SENTENCES:
                texts = zip(ours["left"], peer["left"], strict=True)
                edits = [row for row, (a, b) in enumerate(texts) if a != b and not left[row] and not right[row]]
                wrong += [(row, "the text that is left", "") for row in edits]
        else:
            wrong = [(row, a, b) for row, (a, b) in rows if REASONS.get(a, a) != b]
        found.append(wrong)
    return found


def main() -> None:
    """Measure, compare decision by decision, and write the result."""
    with setting(__doc__ or "") as given:
        corpus = given.input("corpus.parquet")
        small = given.made("slice.parquet", lambda out: inputs.cut_slice(corpus, given.bench, out))
        tiny = given.made("tiny.parquet", lambda out: inputs.cut_slice(corpus, given.bench, out, SMALL_MB, seed=1))
        measured = [("white space, seeded slice", small, *_rounds(given, small, "filters", "spaces"))]
        if not given.quick:
            before = call(given, "ours", "filters", corpus)
            whole = call(given, "peer", "filters", corpus)
            after = call(given, "ours", "filters", corpus)
            measured.append(("white space, whole corpus", corpus, [before, after], [whole]))
        own = _rounds(given, tiny, "filters_spacy", "datatrove")
        measured.append(("datatrove's own, small slice", tiny, *own))
        head = ["words, input", "documents", "MB", "runs ours/peer", "ours CPU s", "ours MB/s", "datatrove CPU s",
                "ratio"]  # fmt: skip
        wrong = {name: mismatches(ours[0], peer[0]) for name, _, ours, peer in measured}
        counts = [[name, *("not asked" if w is None else len(w) for w in all_)] for name, all_ in wrong.items()]
        shown = [(name, *pair) for name, all_ in wrong.items() for pair in zip(FILTERS, all_, strict=True) if pair[1]]
        body = [
            "Library call: decoded text in, the first reason to drop of each filter and C4's edited text out; one "
            "thread, one fresh process a round, warmed up, sides in turn. Ours judges every document by all filters; "
            "each of datatrove's sees only what those before it kept (the rest is judged off its clock, for the "
            "comparison). For the words of white space, `split_into_words` is `str.split` in the peer's process, and "
            "its C4 does not count sentences, for which it asks spaCy; ours counts them all the same.\n",
            table(head, [line(*one) for one in measured]),
            "\nDecisions that differ, filter by filter on the same text; with the name of the rule, for C4 the verdict "
            "and the text that is left. C4 counts sentences by a rule of our own (`c4_sentences.md`); the last column "
            "is C4 without it.\n",
            table(["words, input", *FILTERS], counts),
            "\nTargets: 40 times (white space), 100 times (datatrove's own words), no decision different.",
            *(f"- differs, {name}, {judge}: {rows[:5]}" for name, judge, rows in shown),
        ]
        write_result("filters_library", "Heuristic filters, library call", given, ["numba", "numpy"], "\n".join(body))


def _rounds(given: Setting, source: Path, peers: str, words: str) -> tuple[list[Any], list[Any]]:
    ours, theirs = [], []
    for _ in range(given.rounds):
        ours.append(call(given, "ours", "filters", source, words))
        theirs.append(call(given, "peer", peers, source))
    return ours, theirs


def line(name: str, source: Path, ours: list[dict[str, Any]], peers: list[dict[str, Any]]) -> list[str]:
    """Return one row of the table of costs."""
    text = inputs.corpus(source)
    own, other = [a["cpu"] for a in ours], [a["cpu"] for a in peers]
    megabytes = inputs.text_mb(text)
    speed = spread([megabytes / seconds for seconds in own], 0)
    return [name, f"{len(text):,}", f"{megabytes:.1f}", f"{len(own)}/{len(other)}", spread(own), speed,
            spread(other, 1), ratio(other, own)]  # fmt: skip


if __name__ == "__main__":
    main()
