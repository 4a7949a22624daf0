"""What stands earlier in the corpus is cut, to the byte, or its documents are dropped; with evidence."""

from __future__ import annotations

import random

import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from curator.dedup import substring
from curator.errors import SpecError
from tests.corpus import documents, prose, write_parts
from tests.curator.kernels.test_substrings import by_windows


def run(folder, texts: list[str], parts: int = 1, before=(), **settings):
    """Return (kept texts by id, ledger rows by id, signals by doc_id, doc_ids by id)."""
    glob = write_parts(folder / "in", [{"id": str(i), "text": text} for i, text in enumerate(texts)], parts)
    stages = [curator.ReadJsonl(glob), *before, curator.SubstringDedup(**settings)]
    Pipeline(stages).run(str(folder / "run"), workers=0)
    kept, dropped, signals = (
        [row for file in sorted((folder / "run" / kind).glob("*")) for row in pq.read_table(file).to_pylist()]
        for kind in ("documents", "ledger", "signals")
    )
    assert sorted(int(row["id"]) for row in kept + dropped) == list(range(len(texts)))
    return (
        {row["id"]: row["text"] for row in kept},
        {row["id"]: row for row in dropped},
        {row["doc_id"]: row for row in signals},
        {row["id"]: row["doc_id"] for row in kept + dropped},
    )


def without(text: str, mask: bytearray) -> str:
    """Cut marked bytes, but leave code points of which not all are marked."""
    left, at = [], 0
    for character in text:
        size = len(character.encode())
        if not all(mask[at : at + size]):
            left.append(character)
        at += size
    return "".join(left)


@pytest.fixture(params=[substring.TASK_ROWS, 400], ids=["one task", "many tasks"])
def task_rows(request, monkeypatch):
    monkeypatch.setattr(substring, "TASK_ROWS", request.param)


@pytest.mark.parametrize("parts", [1, 4])
def test_against_every_window_in_a_dictionary(tmp_path, parts, task_rows):
    texts = [record["text"].replace("o", "ö").replace("i", "日") for record in documents(150, seed=9)]
    kept, dropped, _, _ = run(tmp_path, texts, parts, min_bytes=60)
    masks = by_windows([text.encode() for text in texts], 60)
    wanted = {str(i): without(text, mask) for i, (text, mask) in enumerate(zip(texts, masks))}
    gone = {i for i, text in wanted.items() if any(masks[int(i)]) and not text.strip()}
    assert kept == {i: text for i, text in wanted.items() if i not in gone}
    assert set(dropped) == gone
    assert len(gone) > 5
    assert sum(kept[i] != texts[int(i)] for i in kept) > 10


def test_what_was_cut_is_in_the_signals_with_the_document_that_keeps_it(tmp_path, task_rows):
    texts = [record["text"] for record in documents(80, seed=2)]
    kept, _, signals, ids = run(tmp_path, texts, 3, min_bytes=80)
    text_of = {ids[str(i)]: text.encode() for i, text in enumerate(texts)}
    spans = 0
    for id, text in kept.items():
        row, whole, left, at = signals[ids[id]], text_of[ids[id]], b"", 0
        names = ("starts", "stops", "witnesses", "copies")
        for start, stop, witness, copies in zip(*(row[f"substring_cut_{name}"] for name in names)):
            assert whole[start : start + 60] in text_of[witness]
            assert witness <= ids[id]
            assert copies >= 2
            left, at, spans = left + whole[at:start], stop, spans + 1
        assert (left + whole[at:]).decode() == text
    assert spans > 10


def test_the_first_occurrence_stays_whichever_part_it_is_in(tmp_path):
    shared = prose(random.Random(1), 6)
    texts = [f"one {shared} end", "own text", f"{shared}", f"three. {shared} more"]
    kept, dropped, signals, ids = run(tmp_path, texts, 4)
    assert kept == {"0": texts[0], "1": texts[1], "3": "three.more"}
    assert dropped["2"]["reason"] == "nothing_left"
    assert signals[ids["3"]]["substring_cut_witnesses"] == [ids["0"]]
    assert signals[ids["3"]]["substring_cut_copies"] == [2]  # of what the span begins with, the space included
    assert signals[ids["2"]]["substring_cut_copies"] == [3]


def test_a_match_that_begins_inside_a_code_point_is_shrunk(tmp_path):
    """é and ũ end in the same byte, € and ₭ begin with the same two."""
    assert "é".encode()[1:] == "ũ".encode()[1:]
    assert "\u20ac".encode()[:2] == "\u20ad".encode()[:2]
    middle = "".join(random.Random(4).choices("abcdefgh", k=50))
    kept, *_ = run(tmp_path, [f"x é{middle}\u20ac", f"y ũ{middle}\u20ad z"], min_bytes=50)
    assert kept["1"] == "y ũ\u20ad z"


def test_a_text_that_repeats_itself_keeps_the_first_time(tmp_path):
    piece = "".join(random.Random(6).choices("abcdefgh ", k=70))
    kept, *_ = run(tmp_path, [piece * 5, "a" * 5000 + "b", "a" * 300, "ab" * 400], min_bytes=100)
    assert kept == {"0": (piece * 5)[:100], "1": "a" * 100 + "b", "3": "ab" * 50}


def test_words_count_where_bytes_do_not(tmp_path):
    words = [f"w{i}" for i in range(30)]
    shared, cased = " ".join(words), " ".join(words).replace("w20", "W20")
    kept, *_ = run(tmp_path, [f"Begin, {shared}.", f"Other: {shared}.", f"More {cased}!"], min_words=20)
    assert kept == {"0": f"Begin, {shared}.", "1": "Other: ", "2": "More " + " ".join(cased.split()[20:]) + "!"}
    kept, *_ = run(tmp_path / "2", [f"Begin, {shared}.", f"Other: {shared}."], min_words=31)
    assert kept["1"] == f"Other: {shared}."


def test_documents_that_are_mostly_repeated_are_dropped(tmp_path, task_rows):
    rng = random.Random(2)
    shared, short = prose(rng, 20), prose(rng, 4)
    texts = [shared, shared + short, prose(rng, 30) + short, "é" * 10, ""]
    kept, dropped, _, ids = run(tmp_path, texts, 2, action="drop", max_cut=0.5, min_bytes=100)
    assert kept == {str(i): texts[i] for i in (0, 2, 3, 4)}
    row = dropped["1"]
    assert (row["reason"], row["witness"], row["threshold"]) == ("repeated_substrings", ids["0"], 0.5)
    assert row["value"] == pytest.approx(len(shared) / len(texts[1]), abs=0.001)


def test_cutting_can_drop_what_is_mostly_cut(tmp_path):
    shared = prose(random.Random(2), 20)
    _, dropped, _, _ = run(tmp_path, [shared, shared + "tail"], max_cut=0.5)
    assert (dropped["1"]["reason"], dropped["1"]["threshold"]) == ("mostly_cut", 0.5)
    assert dropped["1"]["value"] == pytest.approx(len(shared) / (len(shared) + 4))


def test_a_document_that_fell_before_is_nobodys_witness(tmp_path):
    text = prose(random.Random(3), 10)
    kept, dropped, _, _ = run(tmp_path, [text, text, text + " and more"], before=[curator.ExactDedup()])
    assert (kept["0"], len(kept["2"])) == (text, len(" and more"))
    assert dropped["1"]["stage"] == "ExactDedup"


def test_short_and_empty_documents_stay(tmp_path):
    texts = ["", "", "short", "short", "x" * 199, "x" * 199]
    assert run(tmp_path, texts, 2)[0] == {str(i): text for i, text in enumerate(texts)}


def test_many_equal_short_documents(tmp_path, task_rows):
    text = "".join(random.Random(7).choices("abcdefgh", k=210))
    kept, dropped, _, _ = run(tmp_path, [text] * 3000, 3)
    assert kept == {"0": text}
    assert {row["reason"] for row in dropped.values()} == {"nothing_left"}


def test_memory_does_not_grow_with_the_corpus_but_with_the_task(tmp_path, monkeypatch):
    """No exchange is read with more rows than one task is to hold, and what equal prints add."""
    read, largest = substring.Exchange.read, 0

    def noted(self, number, schema):
        nonlocal largest
        table = read(self, number, schema)
        largest = max(largest, len(table))
        return table

    monkeypatch.setattr(substring, "TASK_ROWS", 500)
    monkeypatch.setattr(substring.Exchange, "read", noted)
    rng = random.Random(1)
    shared = prose(rng, 8)
    run(tmp_path, [prose(rng, 30) + shared[i : i + 300] + prose(rng, 30) for i in range(60)], 6)
    assert 300 < largest < 1500


def test_workers_change_no_byte(tmp_path):
    glob = write_parts(tmp_path / "in", documents(120, seed=8), 3)
    made = []
    for workers in (0, 2):
        stages = [curator.ReadJsonl(glob), curator.SubstringDedup(min_bytes=60), curator.ExactDedup()]
        Pipeline(stages).run(str(tmp_path / f"{workers}"), workers=workers)
        files = [
            f for kind in ("documents", "ledger", "signals") for f in sorted((tmp_path / f"{workers}" / kind).iterdir())
        ]
        made.append([file.read_bytes() for file in files])
    assert made[0] == made[1]
    assert len(made[0]) == 9


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"min_bytes": 7}, "SubstringDedup.min_bytes is 7; it must be at least 8"),
        ({"min_words": -1}, "min_words is -1"),
        ({"action": "strike"}, "action is 'strike'; it must be cut or drop"),
        ({"max_cut": 1.5}, "max_cut is 1.5; it must be from 0 to 1"),
        ({"action": "drop"}, "max_cut is 1.0, so that action: drop drops nothing"),
    ],
)
def test_settings_out_of_range_are_named(settings, words):
    with pytest.raises(SpecError, match=words):
        curator.SubstringDedup(**settings)


def test_other_limits_need_no_new_sketches(tmp_path):
    glob = write_parts(tmp_path / "in", documents(40), 2)
    for limit in (1.0, 0.5):
        stage = curator.SubstringDedup(max_cut=limit)
        Pipeline([curator.ReadJsonl(glob), stage]).run(str(tmp_path / "run"), workers=0)
    assert len(list((tmp_path / "run/work").glob("segment-0-*/sketch-*/*.arrow"))) == 2
