"""Dolma's repetition rules: limits, each rule, and decisions by what its tagger says it counts.

The definitions themselves are held by the oracle of tests/curator/kernels/test_signals.py.
"""

from collections import Counter

import pandas as pd
import pytest

from curator.filter.dolma import DolmaRepetition
from curator.kernels.signals import SIGNALS
from tests.curator.filter.test_gopher import PROSE, first_reasons, generated

LIMITS = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
LINES = [" ".join(f"{letter}{number}" for letter in "abcdef") for number in range(10)]


def test_signals_are_those_of_the_rules_and_of_the_kernel():
    stage = DolmaRepetition()
    assert set(stage.signals) == {rule.signal for rule in stage.rules}
    assert all(SIGNALS[name][0] == kind for name, kind in stage.signals.items())


def test_limits_and_order_are_those_of_the_mixing_file():
    assert [(rule.reason, getattr(DolmaRepetition(), rule.limit)) for rule in DolmaRepetition.rules] == [
        ("recurring_lines", 0.3),
        ("recurring_line_characters", 0.3),
        ("top_2_gram_letters", 0.2),
        ("top_3_gram_letters", 0.18),
        ("top_4_gram_letters", 0.16),
        *((f"recurring_{n}_grams", limit) for n, limit in LIMITS.items()),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, ""),
        ("", ""),
        ("\n", "recurring_lines"),  # two lines, both empty
        ("word", ""),
        (PROSE, ""),
        ("\n".join([*LINES[:7], "", "", ""]), ""),  # three of ten lines
        ("\n".join([*LINES[:6], "", "", ""]), "recurring_lines"),
        ("\n".join([*LINES, PROSE, PROSE]), "recurring_line_characters"),
        ("two words", "top_2_gram_letters"),
        (" aa bb ".join(LINES[:6]) + "".join(LINES[6:]), ""),  # 20 of 140 characters
        (" aa bb ".join(LINES), "top_2_gram_letters"),  # 36 of 156
        (" aa bb cc ".join(LINES[:7]), "top_3_gram_letters"),  # 36 of 120, but the 2-grams 24
        (" aa bb cc dd ".join(LINES[:4]) + " ".join(LINES[4:8]), "top_4_gram_letters"),  # 24 of 120, the 3-grams 18
        (PROSE + " " + PROSE[40:102] + ".", "recurring_5_grams"),
    ],
)
def test_drops(text, reason):
    assert first_reasons(DolmaRepetition(), [text]) == [reason]


def test_the_rules_that_could_not_reject_are_switched_off():
    as_run = DolmaRepetition(max_top_2_gram_letters=None, max_top_3_gram_letters=None, max_top_4_gram_letters=None)
    texts = generated(41, 1000)
    whole, run = first_reasons(DolmaRepetition(), texts), first_reasons(as_run, texts)
    assert {reason[:4] for reason in whole} == {"recu", "top_", ""}
    assert [a for a, b in zip(whole, run, strict=True) if a != b and not a.startswith("top_")] == []
    assert not any(reason.startswith("top_") for reason in run)


def dolma(text: str) -> set[str]:
    """Return the rules that reject, from what the tagger counts."""
    words, lines = text.split(), text.split("\n")
    size = sum(map(len, words)) or 1
    again = [line for line in lines if lines.count(line) > 1] if text else []
    values = {
        "recurring_lines": (len(again) / len(lines), 0.3),
        "recurring_line_characters": (sum(map(len, again)) / size, 0.3),
    }
    for n, limit in ({2: 0.2, 3: 0.18, 4: 0.16} | LIMITS).items():
        ngrams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        times = Counter(ngrams)
        if n < 5:
            letters = [times[ngram] * len("".join(ngram)) for ngram in ngrams if times[ngram] == max(times.values())]
            values[f"top_{n}_gram_letters"] = ((letters or [0])[0] / size, limit)
        else:
            whole = sum(len("".join(ngram)) for ngram in ngrams)
            repeated = sum(len("".join(ngram)) for ngram in ngrams if times[ngram] > 1)
            values[f"recurring_{n}_grams"] = (repeated / (whole or 1), limit)
    return {name for name, (value, limit) in values.items() if value > limit}


def test_every_rule_decides_as_its_definition_says():
    stage, texts = DolmaRepetition(), [text for text in generated(43, 3000) if text.split()]
    masks = stage.reject(stage.measure(pd.DataFrame({"text": texts})))
    found = [{reason for reason, mask in masks.items() if mask.iloc[i]} for i in range(len(texts))]
    assert found == [dolma(text) for text in texts]
    assert all(0 < mask.sum() < len(texts) for mask in masks.values())


def test_a_reason_says_its_value():
    stage = DolmaRepetition()
    signals = stage.measure(pd.DataFrame({"text": ["a\n\nb\nc\nd\n"]}))
    explained = stage.explain(signals, "recurring_lines")
    assert (explained["value"].tolist(), explained["threshold"]) == ([2 / 6], 0.3)
