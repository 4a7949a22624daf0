"""Where a pipeline is cut, and how early the sketches are taken."""

from __future__ import annotations

import pytest

import curator
from curator import Pipeline
from curator.errors import SpecError
from curator.run.plan import cut, late_filters

READ = curator.ReadJsonl("x.jsonl")


def said(*stages) -> list[tuple[str, str, str]]:
    """Return (stages, sketches, fits) of each segment, by initials."""
    short = {
        "ReadJsonl": "R", "FixUnicode": "U", "GopherQuality": "Q", "GopherRepetition": "G",
        "LineDedup": "L", "ExactDedup": "E", "FuzzyDedup": "F", "Tokenize": "T", "Pack": "P",
    }  # fmt: skip
    segments = cut(Pipeline([READ, *stages]))
    assert [segment.number for segment in segments] == list(range(len(segments)))
    assert [segment.last for segment in segments] == [False] * (len(segments) - 1) + [True]
    return [
        tuple("".join(short[type(s).__name__] for _, s in group) for group in (seg.stages, seg.sketches, seg.fits))
        for seg in segments
    ]


U, Q, G = curator.FixUnicode(), curator.GopherQuality(), curator.GopherRepetition()
E, F, T, P = curator.ExactDedup(), curator.FuzzyDedup(), curator.Tokenize(vocab_size=300), curator.Pack()


def test_batch_stages_alone_are_one_pass():
    assert said() == [("R", "", "")]
    assert said(U, Q, G) == [("RUQG", "", "")]


def test_corpus_stages_side_by_side_are_sketched_in_the_pass_that_has_the_text():
    assert said(U, E, F) == [("RU", "EF", "EF"), ("EF", "", "")]


def test_the_text_recipe_takes_two_passes():
    assert said(U, Q, G, E, F, T, P) == [("RUQG", "EFT", "EFT"), ("EFT", "P", "P")]


def test_a_filter_between_does_not_delay_a_sketch():
    assert said(E, Q, F) == [("R", "EF", "E"), ("EQ", "", "F"), ("F", "", "")]


def test_a_writer_of_text_between_delays_a_sketch_until_it_wrote():
    assert said(E, U, F) == [("R", "E", "E"), ("EU", "F", "F"), ("F", "", "")]


def test_nothing_is_fitted_beside_a_stage_whose_rejections_are_not_known_yet():
    url = curator.ExactDedup(column="url")
    assert said(curator.LineDedup(), url) == [("R", "LE", "L"), ("L", "", "E"), ("E", "", "")]
    assert said(url, curator.LineDedup()) == [("R", "EL", "EL"), ("EL", "", "")]


def test_what_is_not_applied_needs_no_pass_after_it():
    assert said(T, P) == [("R", "T", "T"), ("T", "P", "P")]


def test_stages_keep_their_place_in_the_pipeline():
    segments = cut(Pipeline([READ, E, Q, F, U]))
    assert [[index for index, _ in segment.stages] for segment in segments] == [[0], [1, 2], [3, 4]]


def test_a_pipeline_begins_with_a_reader():
    for stages in ([], [U], [E, Q]):
        with pytest.raises(SpecError, match="a pipeline that runs begins with a reader"):
            cut(Pipeline(stages))


def test_filters_after_deduplication_are_named():
    assert late_filters(Pipeline([READ, Q, E, U, G, F, T])) == ["GopherRepetition"]
    assert late_filters(Pipeline([READ, Q, G, E, F, T, P])) == []
    assert late_filters(Pipeline([READ, T, Q])) == []  # tokenizing drops nothing
