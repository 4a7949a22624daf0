"""The CPU versions of the contracts: Arrow buffers in, compiled loops, columns out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.kernels import (
    c4,
    datatrove_words,
    letter_units,
    lines,
    lsh,
    ngram_sets,
    normal,
    signals,
    signatures,
    urls,
    vectors,
    winnow,
)
from curator.kernels.arrow import buffers, each, flatten
from curator.kernels.c4_counts import long_pieces
from curator.kernels.stop_lists import count_listed
from curator.kernels.word_units import word_units
from curator.stage import Column, Frame


def text_signals(text: Column, names: tuple[str, ...], words: str = "spaces") -> Frame:
    apart = {"spaces": None, "letters": letter_units.apart, "datatrove": datatrove_words.separated}[words]
    texts = buffers(text)
    return frames.like(text, signals.measure(*texts, names, apart(*texts) if apart else None))


def listed_words(
    text: Column, which: np.ndarray, lists: tuple[tuple[str, ...], ...], inside: tuple[bool, ...]
) -> Frame:
    texts = frames.column_to_arrow(text)
    counts = count_listed(*flatten(texts), np.where(np.append(inside, False)[which], -1, which), lists)
    for number in np.flatnonzero(inside):
        rows = np.flatnonzero(which == number)
        some = texts.take(pa.array(rows)) if len(rows) else texts[:0]
        for word in lists[number]:
            found = pc.fill_null(pc.match_substring(some, word), False)
            counts[rows] += found.to_numpy(zero_copy_only=False)
    return frames.like(text, {"listed_words": counts})


def hash128(text: Column) -> Frame:
    import xxhash

    digests = b"".join(map(xxhash.xxh3_128_digest, each(text)))
    halves = np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)
    return frames.like(text, {"hash_hi": halves[:, 0], "hash_lo": halves[:, 1]})


def normalised(text: Column, form: str) -> Frame:
    if form == "url":
        forms = pa.array([urls.canonical(str(url, "utf-8")) for url in each(text)], pa.large_string())
    else:
        starts, flat = normal.normal_forms(*buffers(text), form == "words")
        forms = pa.LargeStringArray.from_buffers(len(starts) - 1, pa.py_buffer(starts), pa.py_buffer(flat))
    return frames.like(text, {"normalised": forms})


def line_hashes(text: Column, paragraphs: bool, form: str, min_characters: int) -> Frame:
    first, *columns = lines.units(*buffers(text), paragraphs, form == "words", min_characters)
    lists = {
        name: pa.LargeListArray.from_arrays(first, column)
        for name, column in zip(("hashes", "starts", "stops"), columns, strict=True)
    }
    return frames.like(text, lists)


def band_keys(text: Column, sketch: str, shingles: str, width: int, bands: int, rows: int, seed: int) -> Frame:
    values, empty = signatures.signatures(*buffers(text), sketch, shingles, width, bands * rows, seed)
    keys = lsh.band_hashes(values, bands)
    return frames.like(text, {f"band_{i:02d}": pa.array(keys[:, i], mask=empty) for i in range(bands)})


def sketches(text: Column, sketch: str, shingles: str, width: int, size: int, seed: int) -> Frame:
    values, _ = signatures.signatures(*buffers(text), sketch, shingles, width, size, seed)
    starts = pa.array(np.arange(len(values) + 1) * size, pa.int32())  # refuses what does not fit
    return frames.like(text, {"sketch": pa.ListArray.from_arrays(starts, values.ravel())})


def shingle_sets(text: Column, shingles: str, width: int) -> Frame:
    starts, flat = signatures.sets(*buffers(text), shingles, width)
    return frames.like(text, {"shingles": pa.LargeListArray.from_arrays(starts, flat)})


def c4_lines(
    text: Column, min_words: int, max_word_length: int, terminal_mark: bool, citations: bool, phrases: int
) -> Frame:
    limits = c4.Limits(min_words, max_word_length, terminal_mark, citations, phrases)
    first, *columns = c4.cut_lines(*buffers(text), limits)
    named = zip(("starts", "stops", "kinds", "fills"), columns, strict=True)
    return frames.like(text, {name: pa.LargeListArray.from_arrays(first, column) for name, column in named})


def long_paragraphs(text: Column, min_characters: int) -> Frame:
    return frames.like(text, {"long_paragraphs": long_pieces(*buffers(text), min_characters)})


def text_length(text: Column) -> Frame:
    lengths = pc.fill_null(pc.utf8_length(frames.column_to_arrow(text)), 0)
    return frames.like(text, {"characters": lengths.cast(pa.int64())})


def unit_vectors(column: Column) -> Frame:
    made, state = vectors.unit_lists(frames.column_to_arrow(column))
    return frames.like(column, {"vector": made, "broken": state == vectors.BROKEN})


def ngram_places(text: Column, wanted: ngram_sets.Ngrams) -> Frame:
    offsets, data = buffers(text)
    texts, *columns = ngram_sets.find(offsets, data, wanted)
    first = np.searchsorted(texts, np.arange(len(offsets)))
    lists = zip(("ngrams", "starts", "stops"), columns, strict=True)
    values = {name: pa.LargeListArray.from_arrays(first, column.astype(np.uint32)) for name, column in lists}
    return frames.like(text, values)


def winnowed(text: Column, length: int, words: bool) -> Frame:
    bounds, units = word_units(*buffers(text))[:2] if words else buffers(text)
    runs = winnow.winnow(bounds, units, length)
    offsets = np.searchsorted(runs.documents, np.arange(len(bounds)))
    columns = {"starts": runs.starts, "windows": runs.windows.astype(np.uint32), "prints": runs.prints}
    columns["hashes"] = runs.hashes
    return frames.like(text, {name: pa.LargeListArray.from_arrays(offsets, values) for name, values in columns.items()})
