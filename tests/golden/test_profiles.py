"""Decisions of profiles frozen: why each drops which of some texts. If this fails and the change is meant, raise the
stage's `version` and write the file anew: python -m tests.golden.profile_texts
"""

from __future__ import annotations

import importlib.util
import json

import pytest

from curator import IdentifyLanguage, profile, profiles
from tests.golden.profile_texts import GOLDEN, first_reasons

ROWS = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
BY_SPACY = {name for name in profiles.names() if any(getattr(s, "words", "") == "datatrove" for s in profile(name))}
UNMET = {
    "c4": {"C4Lines.mostly_cut"},  # its limit is 1, which no share exceeds
    "datatrove": {"GopherQuality.many_words", "GopherRepetition.empty"},  # a long text; GopherQuality is first
    "dolma": {"GopherQuality.many_words", "GopherQuality.ellipses"},  # hashes is the same rule, and first
    "fineweb": {"C4Lines.mostly_cut", "FineWebQuality.empty", "FineWebQuality.newlines", "GopherQuality.many_words"},
    "gopher-paper": {"GopherQuality.many_words", "GopherRepetition.empty"},
    "nemo-code": {"CodeQuality.many_lines", "CodeQuality.many_tokens"},  # a long text; no tokenizer is given
    "nemo-en": {
        *(f"NemoEnglish.{reason}" for reason in ("many_words", "longest_word")),  # long texts
        *(f"NemoEnglish.{reason}" for reason in ("short_words", "repeated_paragraph_characters")),  # others are first
    },
    "refinedweb": {"GopherQuality.many_words", "RefinedWebLines.mostly_cut"},
}  # the reasons for which no text is dropped


def needs_spacy(name: str) -> pytest.MarkDecorator:
    missing = name in BY_SPACY and importlib.util.find_spec("spacy") is None
    return pytest.mark.skipif(missing, reason="spaCy is not installed: pip install 'millrace[datatrove-words]'")


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_spacy(name)) for name in profiles.names()])
def test_decisions_are_those_of_the_golden_file(name):
    assert first_reasons(name, [row["text"] for row in ROWS]) == [row[name] for row in ROWS]


@pytest.mark.parametrize("name", profiles.names())
def test_the_golden_file_holds_every_reason_of_a_profile_and_a_text_it_keeps(name):
    stages = [stage for stage in profile(name) if not isinstance(stage, IdentifyLanguage)]
    rules = [(stage, rule) for stage in stages for rule in stage.rules if getattr(stage, rule.limit) is not None]
    reasons = {f"{type(stage).__name__}.{rule.reason}" for stage, rule in rules}
    assert {"", *reasons} - {row[name] for row in ROWS} == UNMET[name]


def test_spacy_is_needed_where_the_words_are_its_tokens():
    assert sorted(BY_SPACY) == ["datatrove", "fineweb"]
