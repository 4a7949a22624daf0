"""NeMo Curator's English filters: each rule, its limits, and decisions that its own code gave.

The definitions are held by the oracle of tests/curator/kernels/test_signals.py. The golden file holds texts and
the filters of NeMo Curator 0.9 that reject them, each run by itself; of equally frequent n-grams the first in the
text was taken there too, where NeMo Curator takes any.
"""

import json
from pathlib import Path

import pandas as pd
import pytest

from curator.filter.nemo import NemoEnglish
from curator.kernels.signals import SIGNALS
from tests.curator.filter.test_gopher import PROSE, first_reasons

GOLDEN = Path(__file__).parents[2] / "golden" / "nemo_english.jsonl"
PAIRS = {"few_words": "words", "many_words": "words", "short_words": "mean_length", "long_words": "mean_length"}


def rejecting(texts: list[str | None]) -> list[set[str]]:
    """Return the reasons for which each text would be dropped, all of them."""
    stage = NemoEnglish()
    masks = stage.reject(stage.measure(pd.DataFrame({"text": pd.Series(texts, dtype="str")})))
    return [{reason for reason, mask in masks.items() if mask.iloc[i]} for i in range(len(texts))]


def test_every_filter_decides_as_nemo_curator_does():
    rows = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    found = rejecting([row["text"] for row in rows])
    assert [{PAIRS.get(reason, reason) for reason in reasons} for reasons in found] == [
        set(row["rejects"]) for row in rows
    ]
    answers = {reason for row in rows for reason in row["rejects"]}
    assert answers | {"empty"} == {PAIRS.get(rule.reason, rule.reason) for rule in NemoEnglish.rules}


def test_signals_are_those_of_the_rules_and_of_the_kernel():
    stage = NemoEnglish()
    assert set(stage.signals) == {rule.signal for rule in stage.rules}
    assert all(SIGNALS[name][0] == kind for name, kind in stage.signals.items())


def test_limits_and_order_are_those_of_the_configuration():
    given = [(rule.reason, getattr(NemoEnglish(), rule.limit)) for rule in NemoEnglish.rules]
    ngrams = {2: 0.20, 3: 0.18, 4: 0.16, 5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
    assert given == [
        ("empty", 1),
        ("other_characters", 0.25),
        ("symbol_words", 0.1),
        ("digits", 0.15),
        ("urls", 0.2),
        ("white_space", 0.25),
        ("brackets", 0.1),
        ("boilerplate", 0.4),
        ("repeated_lines", 0.7),
        ("repeated_paragraphs", 0.7),
        ("repeated_line_characters", 0.8),
        ("repeated_paragraph_characters", 0.8),
        ("few_words", 50),
        ("many_words", 100_000),
        ("unended_lines", 0.85),
        ("few_letter_words", 0.8),
        ("few_stop_words", 2),
        ("long_words", 10),
        ("short_words", 3),
        ("longest_word", 1000),
        ("ellipsis_lines", 0.3),
        *((f"{'deleted' if n < 5 else 'repeated'}_{n}_gram_characters", limit) for n, limit in ngrams.items()),
        ("bullet_lines", 0.9),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        (PROSE, ""),
        (" ", "other_characters"),
        ("\n\n", "white_space"),
        ("—" * 9, "other_characters"),
        ("\x00" * 9, "other_characters"),
        (PROSE + " #" * 9, "symbol_words"),
        (PROSE + " 1984" * 30, "digits"),
        ("https://example.org/" + "path/" * 30 + " " + PROSE, "urls"),
        (PROSE.replace(" ", "\n\n"), "white_space"),
        ("absolut (trusted) " * 30 + "to be.", "brackets"),
        ("We use cookies.\n\n" + PROSE, "boilerplate"),
        (PROSE + " Lorem Ipsum.", "boilerplate"),
        ("\n".join([PROSE[:90]] * 4), "repeated_lines"),
        (PROSE + "\n\n" * 6, "repeated_paragraphs"),
        ("one two three.", "few_words"),
        (PROSE[:-1], "unended_lines"),
        (PROSE + " ! ?" * 10, "few_letter_words"),
        ("Several unusual thoughts wander unguided. " * 12, "few_stop_words"),
        ("extraordinarily " * 80 + PROSE, "long_words"),
        ("x" * 1001 + " " + PROSE, "long_words"),
        ("x" * 1001 + " " + PROSE * 6, "longest_word"),
        ("\n".join(PROSE[i : i + 50] + "..." for i in range(0, 250, 50)), "ellipsis_lines"),
        (PROSE.replace(" ", " of the ") + ".", "deleted_2_gram_characters"),
    ],
)
def test_drops(text, reason):
    assert first_reasons(NemoEnglish(), [text]) == [reason]


def test_a_limit_is_the_last_value_kept():
    assert first_reasons(NemoEnglish(max_unended_lines=1.0), [PROSE[:-1]]) == [""]
    assert first_reasons(NemoEnglish(max_words=len(PROSE.split())), [PROSE]) == [""]
    assert first_reasons(NemoEnglish(max_words=len(PROSE.split()) - 1), [PROSE]) == ["many_words"]
