"""Packing: every token once, in order, in rows that hold it; and nothing depends on the order of documents."""

from __future__ import annotations

import numpy as np
import pytest

from curator.kernels.best_fit import best_fit
from curator.tokenize.packing import Packing, cut_to_pieces, mixed, pack

CASES = [
    (np.array(lengths, np.int64), seq_length)
    for lengths, seq_length in [
        ([], 8),
        ([0], 8),
        ([0, 0, 3, 0], 8),
        ([8], 8),
        ([9], 8),
        ([16, 17, 1, 7], 8),
        ([1, 1, 1], 1),
        ([5] * 20, 8),
        ([100], 1),
    ]
]
rng = np.random.default_rng(3)
CASES += [(rng.integers(0, 60, n), s) for n, s in ((50, 7), (300, 32), (1000, 128))]
CASES += [(rng.geometric(0.01, 400), 100), (rng.integers(1, 5, 200), 1000)]


def keys_for(lengths: np.ndarray, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).permutation(
        np.arange(len(lengths), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    )


def row_lengths(packing: Packing) -> np.ndarray:
    return np.array([packing.length[a:b].sum() for a, b in zip(packing.row_starts, packing.row_starts[1:])], np.int64)


@pytest.mark.parametrize(("lengths", "seq_length"), CASES)
def test_every_token_is_in_one_row_once(lengths, seq_length):
    packing = pack(lengths, keys_for(lengths), seq_length)
    seen = [np.zeros(n, int) for n in lengths]
    for document, start, length in zip(packing.document, packing.start, packing.length):
        assert length > 0
        seen[document][start : start + length] += 1
    assert all((tokens == 1).all() for tokens in seen)
    assert packing.length.sum() == lengths.sum()


@pytest.mark.parametrize(("lengths", "seq_length"), CASES)
def test_no_row_is_empty_or_over_the_sequence_length(lengths, seq_length):
    packing = pack(lengths, keys_for(lengths), seq_length)
    filled = row_lengths(packing)
    assert ((filled > 0) & (filled <= seq_length)).all()
    assert packing.row_starts[0] == 0
    assert packing.row_starts[-1] == len(packing.length)
    assert (np.diff(packing.row_starts) > 0).all()
    assert packing.rows >= -(-lengths.sum() // seq_length)


@pytest.mark.parametrize(("lengths", "seq_length"), CASES)
def test_only_documents_longer_than_a_row_are_cut(lengths, seq_length):
    packing = pack(lengths, keys_for(lengths), seq_length)
    pieces = np.bincount(packing.document, minlength=len(lengths)) if len(lengths) else np.zeros(0)
    assert (pieces == -(-lengths // seq_length)).all()  # as few pieces as can be
    assert (packing.start % seq_length == 0).all()


def in_plain_python(lengths: list[int], capacity: int) -> list[int]:
    """Best fit: into the fullest row with room, and the newest of equally full ones."""
    room: list[int] = []
    rows = []
    opened: list[int] = []  # when each row last changed
    for time, length in enumerate(lengths):
        fitting = [r for r in range(len(room)) if room[r] >= length]
        if fitting:
            row = min(fitting, key=lambda r: (room[r], -opened[r]))
        else:
            row = len(room)
            room.append(capacity)
            opened.append(0)
        room[row] -= length
        opened[row] = time
        rows.append(row)
    return rows


def first_fit(lengths: list[int], capacity: int) -> int:
    room: list[int] = []
    for length in lengths:
        row = next((r for r in range(len(room)) if room[r] >= length), None)
        if row is None:
            room.append(capacity)
            row = len(room) - 1
        room[row] -= length
    return len(room)


@pytest.mark.parametrize("seed", range(20))
def test_best_fit_against_plain_python(seed):
    random = np.random.default_rng(seed)
    capacity = int(random.choice([1, 2, 5, 16, 31, 100]))
    lengths = np.sort(random.integers(1, capacity + 1, random.integers(0, 120)))[::-1].astype(np.int64)
    assert best_fit(lengths, capacity).tolist() == in_plain_python(lengths.tolist(), capacity)


def test_best_fit_opens_no_more_rows_than_first_fit():
    """Of the same pieces, longest first: it may lose on a made-up list, but not on lists such as ours."""
    for seed in range(10):
        random = np.random.default_rng(seed)
        lengths = np.sort(np.clip(random.lognormal(3, 1, 400).astype(np.int64), 1, 128))[::-1].copy()
        assert best_fit(lengths, 128).max() + 1 <= first_fit(lengths.tolist(), 128)


def test_many_short_documents_fill_their_rows():
    lengths = np.random.default_rng(0).integers(1, 200, 5000)
    packing = pack(lengths, keys_for(lengths), 1024)
    assert lengths.sum() / (packing.rows * 1024) > 0.999


@pytest.mark.parametrize(("lengths", "seq_length"), CASES)
def test_the_order_of_documents_changes_nothing(lengths, seq_length):
    keys = keys_for(lengths)
    order = np.random.default_rng(9).permutation(len(lengths))
    here, there = pack(lengths, keys, seq_length), pack(lengths[order], keys[order], seq_length)
    assert (here.row_starts == there.row_starts).all()
    assert (keys[here.document] == keys[order][there.document]).all()
    assert (here.start == there.start).all()
    assert (here.length == there.length).all()


def test_other_keys_shuffle_the_rows():
    lengths = np.random.default_rng(0).integers(1, 60, 500)
    one, other = (pack(lengths, keys_for(lengths, seed), 64) for seed in (1, 2))
    assert one.rows == other.rows
    assert (one.document != other.document).mean() > 0.9
    first = [one.document[one.row_starts[0] : one.row_starts[20]]]
    assert np.ptp(first) > 250  # from all over the corpus


def test_the_rows_of_a_long_document_are_spread_out():
    lengths = np.array([640] + [64] * 190)
    packing = pack(lengths, keys_for(lengths), 64)
    places = np.flatnonzero(packing.document == 0)
    assert len(places) == 10
    assert np.ptp(places) > 80


def test_pieces_of_a_document_by_hand():
    document, start, length = cut_to_pieces(np.array([0, 5, 9, 4]), 4)
    assert document.tolist() == [1, 1, 2, 2, 2, 3]
    assert start.tolist() == [0, 4, 0, 4, 8, 0]
    assert length.tolist() == [4, 1, 4, 4, 1, 4]


def test_mixing_keeps_keys_apart():
    keys = np.repeat(np.arange(100, dtype=np.uint64), 100)
    assert len(np.unique(mixed(keys, np.tile(np.arange(100) * 2048, 100)))) == 10_000
