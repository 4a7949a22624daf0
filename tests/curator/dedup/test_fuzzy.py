"""Near-duplicates go only for a kept document that is proven to be nearly the same."""

from __future__ import annotations

import random

import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from curator.errors import SpecError
from tests.corpus import documents, write_parts

WORDS = [f"w{i}" for i in range(200)]
# Bands of one row: every pair with a few shingles in common is a candidate, so chance plays no part here.
CERTAIN = {"bands": 32, "rows": 1}


def run(folder, texts, parts=1, **settings):
    """Return (kept ids, {dropped id: (witness id, similarity)})."""
    records = [{"id": id, "text": text} for id, text in texts.items()]
    glob = write_parts(folder / "in", records, parts)
    Pipeline([curator.ReadJsonl(glob), curator.FuzzyDedup(**(CERTAIN | settings))]).run(str(folder / "run"), workers=0)
    kept, dropped = (
        [row for file in sorted((folder / "run" / kind).iterdir()) for row in pq.read_table(file).to_pylist()]
        for kind in ("documents", "ledger")
    )
    ids = {row["doc_id"]: row["id"] for row in kept + dropped}
    assert {row["reason"] for row in dropped} <= {"near_duplicate"}
    return [row["id"] for row in kept], {row["id"]: (ids[row["witness"]], row["similarity"]) for row in dropped}


def shingles(text: str, width: int = 5) -> set[tuple[str, ...]]:
    words = text.lower().split()
    return {tuple(words[i : i + width]) for i in range(len(words) - width + 1)}


def jaccard(a: str, b: str) -> float:
    return len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))


def window(start: int, words: int = 100) -> str:
    return " ".join(WORDS[start : start + words])


@pytest.mark.parametrize("parts", [1, 3])
def test_the_end_of_a_chain_stays(tmp_path, parts):
    """A ~ B ~ C where A and C are not alike: B goes for A, and C, which only B resembles, stays."""
    chain = {"A": window(0), "B": window(8), "C": window(16)}
    assert jaccard(chain["A"], chain["B"]) > 0.8
    assert jaccard(chain["B"], chain["C"]) > 0.8
    assert jaccard(chain["A"], chain["C"]) < 0.8
    kept, dropped = run(tmp_path, chain, parts)
    assert kept == ["A", "C"]
    assert dropped == {"B": ("A", pytest.approx(jaccard(chain["A"], chain["B"])))}


def test_in_another_order_the_middle_of_the_chain_takes_both(tmp_path):
    kept, dropped = run(tmp_path, {"B": window(8), "A": window(0), "C": window(16)})
    assert kept == ["B"]
    assert {id: witness for id, (witness, _) in dropped.items()} == {"A": "B", "C": "B"}


@pytest.mark.parametrize("parts", [1, 3])
def test_the_longest_stays_if_asked_and_ties_go_to_the_first(tmp_path, parts):
    texts = {"short": window(0, 90), "long": window(0, 100), "as long": window(0, 99) + " wxyz", "other": window(100)}
    assert run(tmp_path / "1", texts, parts)[0] == ["short", "other"]
    assert run(tmp_path / "2", texts, parts, keep="longest")[0] == ["as long", "other"]  # by characters
    tied = {"one": window(0), "two": window(0)[:-2] + "xx", "other": window(100)}
    assert len(tied["one"]) == len(tied["two"])
    assert run(tmp_path / "3", tied, parts, keep="longest")[0] == ["one", "other"]


def test_the_threshold_is_reached_and_not_only_passed(tmp_path):
    """20 words have 16 shingles; two more words at the end, 18: similarity 16/18."""
    texts = {"a": window(0, 20), "b": window(0, 22)}
    assert run(tmp_path / "1", texts, jaccard=16 / 18)[0] == ["a"]
    assert run(tmp_path / "2", texts, jaccard=16 / 18 + 1e-9)[0] == ["a", "b"]


def test_case_and_punctuation_do_not_tell_documents_apart(tmp_path):
    kept, dropped = run(tmp_path, {"a": window(0), "b": window(0).upper().replace(" ", ", ")})
    assert kept == ["a"]
    assert dropped == {"b": ("a", 1.0)}


def test_documents_shorter_than_a_shingle_are_alike_if_their_words_are(tmp_path):
    texts = {"a": "two words", "b": "Two  words!", "c": "two other", "d": "", "e": "", "f": "!!!"}
    kept, dropped = run(tmp_path, texts)
    assert kept == ["a", "c", "d", "e", "f"]  # without words there is nothing to compare
    assert dropped == {"b": ("a", 1.0)}


def sequential(texts: dict[str, str], threshold: float) -> list[str]:
    """The witness rule in plain Python, with every pair a candidate."""
    kept: list[str] = []
    for id, text in texts.items():
        if not any(jaccard(text, texts[other]) >= threshold for other in kept):
            kept.append(id)
    return kept


@pytest.mark.parametrize("seed", range(3))
def test_against_every_pair_in_plain_python(tmp_path, seed):
    rng = random.Random(seed)
    texts: dict[str, str] = {}
    for number in range(60):
        if texts and rng.random() < 0.7:
            words = rng.choice(list(texts.values())).split()
            for _ in range(rng.randint(0, 6)):
                words[rng.randrange(len(words))] = rng.choice(WORDS)
        else:
            words = rng.choices(WORDS, k=120)
        texts[f"{number:02d}"] = " ".join(words)
    kept, dropped = run(tmp_path, texts, parts=3, jaccard=0.6)
    assert kept == sequential(texts, 0.6)
    assert 5 < len(dropped) < 55
    for id, (witness, similarity) in dropped.items():
        assert witness in kept
        assert similarity == pytest.approx(jaccard(texts[id], texts[witness]))
        assert similarity >= 0.6


def test_a_crowded_bucket_is_said_and_what_it_keeps_is_compared_with_the_first_only(tmp_path, capsys):
    """40 of 41 words are in all documents, so one band puts all in one bucket. It remembers the first three
    of them; the last document is a copy of the fifth."""
    texts = {str(i): f"{window(0, 40)} own{i}" for i in range(5)}
    texts["copy"] = texts["4"]
    glob = write_parts(tmp_path / "in", [{"id": id, "text": text} for id, text in texts.items()], 1)
    for cap, kept in ((3, 6), (1000, 5)):
        stage = curator.FuzzyDedup(jaccard=1.0, bands=1, rows=1, width=1, max_bucket=cap)
        result = Pipeline([curator.ReadJsonl(glob), stage]).run(str(tmp_path / f"run-{cap}"), workers=0, quiet=False)
        assert result.documents == kept
        assert ("1 buckets hold more than 3 kept documents" in capsys.readouterr().err) == (cap == 3)


def test_recall_of_planted_near_copies(tmp_path):
    """14 bands of 8 rows find a pair of similarity 0.9 with probability 0.9996."""
    rng = random.Random(5)
    texts: dict[str, str] = {}
    for number in range(80):
        words = rng.choices(WORDS, k=200)
        texts[f"{number}"] = " ".join(words)
        words[rng.randrange(10, 190)] = "altered"
        texts[f"{number}-copy"] = " ".join(words)
    assert all(jaccard(texts[f"{n}"], texts[f"{n}-copy"]) > 0.9 for n in range(80))
    kept, dropped = run(tmp_path, texts, bands=14, rows=8)
    assert kept == [str(number) for number in range(80)]
    assert all(witness == id.removesuffix("-copy") for id, (witness, _) in dropped.items())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"jaccard": 0.0}, "FuzzyDedup.jaccard is 0.0; it must be above 0 and at most 1"),
        ({"jaccard": 1.1}, "jaccard is 1.1"),
        ({"bands": 0}, "FuzzyDedup.bands is 0; it must be at least 1"),
        ({"rows": -1}, "rows is -1"),
        ({"width": 0}, "width is 0"),
        ({"max_bucket": 0}, "max_bucket is 0"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(SpecError, match=words):
        curator.FuzzyDedup(**settings)


def test_a_new_threshold_needs_no_new_sketches(tmp_path):
    glob = write_parts(tmp_path / "in", documents(60), 2)
    for threshold in (0.8, 0.5):
        stage = curator.FuzzyDedup(jaccard=threshold)
        Pipeline([curator.ReadJsonl(glob), stage]).run(str(tmp_path / "run"), workers=0)
    sketches = list((tmp_path / "run/work").glob("segment-0-*/sketch-*/*.arrow"))
    assert len(sketches) == 2
