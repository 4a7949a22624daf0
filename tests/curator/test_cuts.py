"""Cutting spans by lists: what is left, what is dropped, and the evidence of both."""

from __future__ import annotations

import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import frames
from curator.cuts import LISTED, CutListed, write_cuts
from curator.rejections import read_list
from curator.schema import arrow_schema

PART = 3 << 32


def spans(*rows: tuple) -> pa.Table:
    """Rows of (document, start, stop, witness, copies) of part 3."""
    columns = list(zip(*((PART | row[0], *row[1:]) for row in rows))) or [[]] * len(LISTED)
    return pa.table([pa.array(c, t) for c, t in zip(columns, arrow_schema(LISTED).types)], schema=arrow_schema(LISTED))


def frame(texts: list[str | None]):
    table = {"doc_id": pa.array([PART | i for i in range(len(texts))], pa.uint64()), "text": texts}
    return frames.from_arrow(pa.table(table).cast(arrow_schema({"doc_id": "uint64", "text": "string"})))


def measured(stage: CutListed, texts: list[str | None]) -> list[dict]:
    return frames.to_arrow(stage.measure(frame(texts))).to_pylist()


def dropped(stage: CutListed, texts: list[str | None]) -> dict[str, list[int]]:
    masks = stage.reject(stage.measure(frame(texts)))
    return {reason: [i for i, gone in enumerate(mask.fillna(False).tolist()) if gone] for reason, mask in masks.items()}


def test_spans_are_cut_and_told(tmp_path):
    write_cuts(str(tmp_path), spans((2, 8, 10, 7, 4), (0, 2, 4, 5, 2), (2, 0, 2, None, 3)))
    rows = measured(CutListed(str(tmp_path), "line"), ["abcdef", "untouched", "äbcdefghij", None])
    assert [row["text"] for row in rows] == ["abef", "untouched", "bcdefgj", None]
    assert [row["line_cut_starts"] for row in rows] == [[2], [], [0, 8], []]
    assert [row["line_cut_stops"] for row in rows] == [[4], [], [2, 10], []]
    assert [row["line_cut_witnesses"] for row in rows] == [[5], [], [None, 7], []]
    assert [row["line_cut_copies"] for row in rows] == [[2], [], [3, 4], []]
    assert [row["line_cut_share"] for row in rows] == [2 / 6, 0, 4 / 11, 0]


def test_a_part_without_a_list_stays_as_it_is(tmp_path):
    write_cuts(str(tmp_path), spans())
    assert list(tmp_path.iterdir()) == []
    assert [row["text"] for row in measured(CutListed(str(tmp_path), "x"), ["a", ""])] == ["a", ""]
    assert measured(CutListed(str(tmp_path), "x"), []) == []


def test_nothing_left_and_mostly_cut(tmp_path):
    texts = ["abcdefghij", "abcdefghij", "abcdefghij", "  ", "ab  "]
    write_cuts(str(tmp_path), spans((0, 0, 10, 1, 2), (1, 0, 8, 1, 2), (2, 0, 7, 1, 2), (4, 0, 2, 1, 2)))
    assert dropped(CutListed(str(tmp_path), "x", 0.7), texts) == {"nothing_left": [0, 4], "mostly_cut": [0, 1]}
    assert dropped(CutListed(str(tmp_path), "x"), texts) == {"nothing_left": [0, 4], "mostly_cut": []}
    assert dropped(CutListed(str(tmp_path), "x", min_characters=3), texts)["nothing_left"] == [0, 1, 4]


def test_a_witness_is_named_where_it_is_the_only_one(tmp_path):
    rows = spans(
        (0, 0, 1, 9, 2), (0, 1, 2, 9, 2),  # one
        (1, 0, 1, 9, 2), (1, 1, 2, 8, 2),  # two
        (2, 0, 1, None, 2), (2, 1, 2, 9, 2),  # not all have one
        (3, 0, 1, 4, 2), (4, 0, 2, 9, 2), (5, 0, 1, 0, 2), (5, 1, 2, None, 2),
    )  # fmt: skip
    write_cuts(str(tmp_path), rows)
    stage = CutListed(str(tmp_path), "x")
    signals = stage.measure(frame(["ab"] * 7))
    said = stage.explain(signals, "nothing_left")
    assert frames.column_to_arrow(said["witness"]).to_pylist() == [9, None, None, 4, 9, None, None]
    assert said["threshold"] == 1


def test_overlapping_spans_become_one_and_touching_ones_do_not(tmp_path):
    write_cuts(str(tmp_path), spans((0, 3, 6, 1, 7), (0, 0, 4, 2, 8), (0, 6, 9, 3, 9), (1, 0, 4, 4, 2)))
    listed = read_list(CutListed(str(tmp_path), "x").file(3), LISTED).to_pylist()
    assert [tuple(row.values()) for row in listed] == [
        (PART, 0, 6, 2, 8), (PART, 6, 9, 3, 9), (PART | 1, 0, 4, 4, 2),
    ]  # fmt: skip


def test_lists_are_written_a_part_each(tmp_path):
    table = pa.concat_tables([spans((0, 0, 1, 1, 1)), spans((5 << 32, 0, 1, 1, 1))])  # part 3 | 5 = 7
    write_cuts(str(tmp_path), table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-00003.parquet", "part-00007.parquet"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(1, 8)), max_size=12))
def test_against_a_mask_of_bytes(tmp_path_factory, drawn):
    folder = str(tmp_path_factory.mktemp("cuts"))
    write_cuts(folder, spans(*((doc, start, start + size, 1, 2) for doc, start, size in drawn)))
    text = "abcdefghijklmnopqrstuvwxyzABCDEFGH"
    for document, row in enumerate(measured(CutListed(folder, "x"), [text] * 4)):
        gone = {i for doc, start, size in drawn if doc == document for i in range(start, start + size)}
        assert row["text"] == "".join(c for i, c in enumerate(text) if i not in gone)
        assert row["x_cut_share"] == pytest.approx(len(gone) / len(text))
        bounds = list(zip(row["x_cut_starts"], row["x_cut_stops"]))
        assert bounds == sorted(bounds)
        assert all(one[1] <= two[0] for one, two in itertools.pairwise(bounds))
