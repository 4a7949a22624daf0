"""Find every substring of at least `length` units that stands more than once, exactly, by hashes.

What is repeated is the union of the windows of `length` units that occur twice, which is what a suffix array
marks where LCP >= length. Not all windows are looked at one by one:

1. `winnow` cuts them into runs, so that equal windows lie in runs of equal print.
2. Runs whose units are all equal, from the first window's first to the last window's last, repeat as a whole.
   This settles the inside of long repeats without another look at the text (`match_runs`).
3. What stays open are runs that share a print with a different run (the ends of repeats, and phrases of a gram
   and more in other surroundings), and periodic ones, which may repeat inside themselves. Their windows are
   hashed and matched one by one (`hash_windows`, `match`).

Nothing is squared and no cap is needed: a print or a window that occurs a million times is a million rows of a
hash join. Two runs or windows are taken for equal if two 64-bit hashes of different arithmetic are.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from curator.kernels import lsh
from curator.kernels.bits import compiled
from curator.kernels.spans import merged
from curator.kernels.winnow import Runs, hash_windows, winnow

SPREAD = np.uint64(0x9FB21C651E98DF25)  # odd: parts keys again that share their high bits, as those of a range do


class Matched(NamedTuple):
    """What runs alone decide: three arrays as long as they are."""

    first: np.ndarray  # int64: the first run with the same units, which may be the run itself
    members: np.ndarray  # int64: how many have the same units
    opened: np.ndarray  # bool: the run is such a first one, and its windows may occur in other runs too


class Spans(NamedTuple):
    """Units [starts, stops) of documents, that stand in the document `witnesses` before: arrays of one length."""

    documents: np.ndarray  # as they were counted: int64, or doc_id uint64
    starts: np.ndarray  # int64
    stops: np.ndarray  # int64
    witnesses: np.ndarray  # like `documents`
    copies: np.ndarray  # int64: how often what the span begins with occurs, itself included


def repeated(offsets: np.ndarray, data: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (documents, starts, stops), int64 each: all units that are in a window which occurs twice.

    offsets: int64 (documents + 1); data: uint8 or uint64; see `winnow`. Spans are maximal, by document and
    start. A first occurrence is in, and what overlaps itself too.
    """
    runs = winnow(offsets, data, length)
    matched = match_runs(runs.prints, runs.hashes)
    windows = _open_windows(offsets, data, length, runs, matched)
    several, whole = windows.members > 1, matched.members > 1
    documents = np.concatenate([runs.documents[whole], windows.documents[several]])
    starts = np.concatenate([runs.starts[whole], windows.starts[several]])
    sizes = np.concatenate([runs.windows[whole], np.ones(int(several.sum()), np.int64)])
    rows, ends = merged(documents, starts, starts + sizes - 1 + length, touching=True)
    return documents[rows], starts[rows], ends


def later(offsets: np.ndarray, data: np.ndarray, length: int) -> Spans:
    """Return what stands before, in an earlier document or in its own; `later_spans` says which part of it.

    Arguments and order as for `repeated`.
    """
    runs = winnow(offsets, data, length)
    matched = match_runs(runs.prints, runs.hashes)
    windows = _open_windows(offsets, data, length, runs, matched)
    whole = later_spans(runs.documents, runs.starts, runs.windows, matched.first, matched.members, length)
    each = later_spans(windows.documents, windows.starts, np.ones_like(windows.starts), windows.first, windows.members,
                     length)  # fmt: skip
    return joined(Spans(*(np.concatenate(columns) for columns in zip(whole, each, strict=True))))


class _Windows(NamedTuple):
    documents: np.ndarray
    starts: np.ndarray
    first: np.ndarray
    members: np.ndarray


def _open_windows(offsets: np.ndarray, data: np.ndarray, length: int, runs: Runs, matched: Matched) -> _Windows:
    """Match the windows of the open runs."""
    documents, starts, windows, prints = (column[matched.opened] for column in runs[:4])
    keys = hash_windows(data, offsets[documents] + starts, windows, length)
    members = np.repeat(matched.members[matched.opened], windows)
    first, members = match(keys, np.repeat(prints, windows), members)
    return _Windows(np.repeat(documents, windows), each_window(starts, windows), first, members)


def match_runs(prints: np.ndarray, hashes: np.ndarray) -> Matched:
    """Match runs with equal units; uint64 (runs) each, in the order in which the first one wins.

    All runs of a print must be there. Memory: 60 bytes a run. Cost: 60 ns a run.
    """
    first, members = match(hashes, prints, np.ones(len(hashes), np.int64))
    firsts = np.flatnonzero(first == np.arange(len(first)))
    shared = np.zeros(len(firsts), np.bool_)
    lsh.mark_followers(lsh.leaders(prints[firsts] * SPREAD, np.zeros(len(firsts), np.bool_)), shared)
    opened = np.zeros(len(first), np.bool_)
    opened[firsts] = shared | (hashes[firsts] & np.uint64(1)).astype(np.bool_)
    return Matched(first, members, opened)


def match(keys: np.ndarray, checks: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (first int64, totals int64): for each row the first one of equal (key, check), and their weights.

    keys, checks: uint64 (rows), fewer than 2**32; weights: int64 (rows). A key that two checks share, which is
    as rare as 64 bits can be, is taken for no match.
    """
    if not len(keys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return agreed(lsh.leaders(keys * SPREAD, np.zeros(len(keys), np.bool_)), checks, weights)


@compiled
def agreed(leader: np.ndarray, checks: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (first, totals) of `match`; `leader` is the first row of equal key, uint32 (rows)."""
    first, sums, totals = np.empty(leader.size, np.int64), np.zeros(leader.size, np.int64), np.empty_like(weights)
    for row in range(leader.size):
        first[row] = leader[row] if checks[leader[row]] == checks[row] else row
        sums[first[row]] += weights[row]
    for row in range(leader.size):
        totals[row] = sums[first[row]]
    return first, totals


def each_window(starts: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Return where each window of some runs starts: [5, 9], [2, 1] -> [5, 6, 9]."""
    before = np.cumsum(windows) - windows
    return np.repeat(starts - before, windows) + np.arange(int(windows.sum()))


def later_spans(
    documents: np.ndarray,
    starts: np.ndarray,
    windows: np.ndarray,
    first: np.ndarray,
    members: np.ndarray,
    length: int,
) -> Spans:
    """Return the span of each run that equals an earlier one, `first`; rows are by document and start.

    Where the two overlap, in a text that repeats itself at a distance below `length`, the earlier occurrence
    stays whole: its first window is not in the span. So of a million equal letters the first `length` stay.
    """
    rows = np.flatnonzero(first != np.arange(len(first)))
    source = first[rows]
    same = documents[rows] == documents[source]
    begins = np.where(same, np.maximum(starts[rows], starts[source] + length), starts[rows])
    stops = starts[rows] + windows[rows].astype(np.int64) - 1 + length
    some = begins < stops
    rows, source = rows[some], source[some]
    return Spans(documents[rows], begins[some], stops[some], documents[source], members[rows])


def joined(spans: Spans) -> Spans:
    """Return spans by document and start, those that overlap or touch as one with the evidence of the first."""
    rows, stops = merged(spans.documents, spans.starts, spans.stops, touching=True)
    return Spans(spans.documents[rows], spans.starts[rows], stops, spans.witnesses[rows], spans.copies[rows])


@compiled
def whole_code_points(
    offsets: np.ndarray, data: np.ndarray, documents: np.ndarray, starts: np.ndarray, stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return (starts, stops) of spans of UTF-8 texts, shrunk until they cut no code point in two.

    A span of less than one code point becomes empty: stop <= start.
    """
    starts, stops = starts.copy(), stops.copy()
    for i in range(starts.size):
        text = data[offsets[documents[i]] : offsets[documents[i] + 1]]
        while starts[i] < stops[i] and text[starts[i]] & 0xC0 == 0x80:
            starts[i] += 1
        while stops[i] > starts[i] and stops[i] < text.size and text[stops[i]] & 0xC0 == 0x80:
            stops[i] -= 1
    return starts, stops
