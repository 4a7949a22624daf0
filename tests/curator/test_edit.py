"""Edits by spans: what is left, what is kept as evidence, and what stands in a span's place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curator import frames
from curator.edit import Edit, Spans
from curator.schema import arrow_schema


@dataclass(frozen=True)
class Given(Edit):
    """Cuts what it is given."""

    given: tuple[tuple[int, int, int], ...] = ()  # (text, start, stop)
    fills: tuple[str, ...] = ("",)
    told: tuple[bool, ...] | None = None
    max_cut: float = 1.0
    min_characters: int = 1

    name: ClassVar[str] = "given"

    def spans(self, frame: Any) -> Spans:
        texts = [text for text, _, _ in self.given]
        first = np.searchsorted(texts, np.arange(len(frame) + 1))
        starts, stops = (np.array([span[i] for span in self.given], np.int64) for i in (1, 2))
        told = None if self.told is None else np.array(self.told, bool)
        fill = np.arange(len(texts)) % len(self.fills)
        return Spans(first, starts, stops, {"kinds": ["x"] * len(texts)}, told, self.fills, fill)


def frame(texts: list[str | None]) -> Any:
    made = frames.from_arrow(pa.table({"text": texts}).cast(arrow_schema({"text": "string"})))
    made.index = range(7, 7 + len(texts))
    return made


def measured(stage: Edit, texts: list[str | None]) -> list[dict[str, Any]]:
    return frames.to_arrow(stage.measure(frame(texts))).to_pylist()


def test_spans_are_cut_filled_and_told():
    rows = measured(Given(((0, 0, 2), (0, 3, 4), (2, 1, 3)), fills=("<A>", "")), ["äbcd", None, "abcd"])
    assert rows[0] == {
        "text": "<A>bd", "given_cut_starts": [0, 3], "given_cut_stops": [2, 4], "given_cut_kinds": ["x", "x"],
        "given_cut_share": 3 / 5, "given_left": 5,
    }  # fmt: skip
    assert (rows[1]["text"], rows[1]["given_cut_starts"], rows[1]["given_cut_share"]) == (None, [], 0.0)
    assert (rows[2]["text"], rows[2]["given_cut_share"]) == ("a<A>d", 0.5)


def test_what_is_not_told_is_cut_all_the_same():
    (row,) = measured(Given(((0, 0, 1), (0, 2, 3), (0, 4, 5)), told=(False, True, False)), ["abcdef"])
    assert (row["text"], row["given_cut_starts"], row["given_cut_share"]) == ("bdf", [2], 1 / 6)


def test_only_a_cut_leaves_too_little():
    stage = Given(((0, 0, 3), (1, 0, 2)), max_cut=0.8, min_characters=2)
    masks = stage.reject(stage.measure(frame(["abc", "abc", "a", None])))
    assert masks["nothing_left"].fillna(False).tolist() == [True, True, False, False]
    assert masks["mostly_cut"].tolist() == [True, False, False, False]


@given(st.lists(st.tuples(st.text(max_size=20), st.lists(st.integers(0, 20), max_size=6)), max_size=6))
def test_against_plain_python(cases):
    spans, wanted = [], []
    for number, (text, cuts) in enumerate(cases):
        bounds = sorted({min(cut, len(text)) for cut in cuts})
        pairs = list(zip(bounds[::2], bounds[1::2]))
        places = [(len(text[:a].encode()), len(text[:b].encode())) for a, b in pairs]
        spans += [(number, *place) for place in places]
        pieces, at = [], 0
        for a, b in pairs:
            pieces += [text[at:a], "<é>"]
            at = b
        wanted.append("".join([*pieces, text[at:]]))
    rows = measured(Given(tuple(spans), fills=("<é>",)), [text for text, _ in cases])
    assert [row["text"] for row in rows] == wanted
    assert [list(zip(r["given_cut_starts"], r["given_cut_stops"])) for r in rows] == [
        [span[1:] for span in spans if span[0] == number] for number in range(len(cases))
    ]
