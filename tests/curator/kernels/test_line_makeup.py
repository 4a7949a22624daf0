"""Counts of lines against str methods."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels.arrow import flatten
from curator.kernels.line_makeup import count
from curator.kernels.lines import bounds


@given(st.lists(st.text(st.sampled_from("Aa1²ß Éǅ\u3000\x1c \t\r\n.\U0001f600"), max_size=30), max_size=5))
def test_against_str_methods(texts):
    offsets, data = flatten(pa.array(texts, pa.large_string()))
    found = bounds(offsets, data)
    lines = [data[a:b].tobytes().decode() for a, b in itertools.pairwise(found)]
    assert lines == [line for text in texts for line in text.replace("\n", "\n\0").split("\0") if line]
    assert count(found, data).tolist() == [
        (
            len(line.split()),
            len(line.strip()),
            len("".join(line.split())),
            sum(map(str.isupper, line)),
            sum(map(str.isdigit, line)),
        )
        for line in lines
    ]


def test_nothing():
    offsets, data = flatten(pa.array([], pa.large_string()))
    assert bounds(offsets, data).tolist() == [0]
    assert len(count(np.zeros(1, np.int64), data)) == 0
