"""Words with what follows them, against a regular expression."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels.arrow import flatten
from curator.kernels.word_units import word_units


@given(st.lists(st.text("aZé_9日 .,\u20ac\U0001f600\U00020000\n"), max_size=5))
def test_against_a_regular_expression(texts):
    bounds, hashes, starts = word_units(*flatten(pa.array(texts, pa.large_string())))
    places, units = [], []
    for text in texts:
        words = [match.start() for match in re.finditer(r"\w+", text)]
        places += [len(text[:i].encode()) for i in words]
        units += [text[i:j] for i, j in zip(words, [*words[1:], None])]
    assert np.diff(bounds).tolist() == [len(re.findall(r"\w+", text)) for text in texts]
    assert starts.tolist() == places
    named = dict(zip(units, hashes.tolist()))
    assert [named[unit] for unit in units] == hashes.tolist()
    assert len(set(named.values())) == len(named)
