"""The judge of repeated substrings: what the suffix array covers, against every window in plain Python."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest

from benchmarks import peer_substring, substring_library


def suffix_array(data):
    """Return (places, common prefix with the next one in order), the plain way."""
    whole = data.tobytes()
    places = sorted(range(len(whole)), key=lambda place: whole[place:])
    common = [0] * len(whole)
    for i, (a, b) in enumerate(itertools.pairwise(places)):
        while whole[a + common[i] : a + common[i] + 1] == whole[b + common[i] : b + common[i] + 1] != b"":
            common[i] += 1
    return np.array(places, np.int32), np.array(common, np.int32)


def windows(documents, length):
    """Return bool (bytes): in a window that stands twice."""
    seen = Counter(d[i : i + length] for d in documents for i in range(len(d) - length + 1))
    found = []
    for document in documents:
        mask = [False] * len(document)
        for i in range(len(document) - length + 1):
            if seen[document[i : i + length]] > 1:
                mask[i : i + length] = [True] * length
        found += mask
    return found


@pytest.mark.parametrize("letters", ["ab", "abcde"])
def test_the_suffix_array_covers_exactly_the_windows_that_stand_twice(letters):
    choose, some = random.Random(0), 0
    for _ in range(100):
        length = choose.randint(2, 6)
        documents = ["".join(choose.choices(letters, k=choose.randint(0, 30))) for _ in range(choose.randint(1, 5))]
        documents += choose.choices(documents, k=choose.randint(0, 2))  # whole copies, side by side too
        data = peer_substring.joined(documents)
        mask = peer_substring.spread(*suffix_array(data), data == peer_substring.SEPARATOR, length)
        assert mask[data != peer_substring.SEPARATOR].tolist() == windows(documents, length)
        some += mask.any()
    assert some > 50


def test_agreement_is_by_the_bytes_of_the_suffix_array():
    exact = np.array([True] * 8 + [False] * 2)
    found = substring_library.agreement(np.array([True] * 6 + [False] * 3 + [True]), exact)
    assert (found.covered, found.reached, found.beyond) == (0.7, 0.75, 1)
    with pytest.raises(SystemExit, match="10 bytes, the other one of 9"):
        substring_library.agreement(exact, exact[:9])
