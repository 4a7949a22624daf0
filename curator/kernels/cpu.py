"""The CPU versions of the contracts: Arrow buffers in, compiled loops, columns out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.kernels import lines, lsh, normal, shingles, signals, sketch, urls
from curator.kernels.arrow import buffers, each
from curator.stage import Column, Frame


def text_signals(text: Column, names: tuple[str, ...]) -> Frame:
    return frames.like(text, signals.measure(*buffers(text), names))


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


def band_keys(text: Column, bands: int, rows: int, width: int, seed: int) -> Frame:
    sketches, empty = sketch.sketch(*buffers(text), bands * rows, width, seed)
    keys = lsh.band_hashes(sketches, bands)
    return frames.like(text, {f"band_{i:02d}": pa.array(keys[:, i], mask=empty) for i in range(bands)})


def shingle_sets(text: Column, width: int) -> Frame:
    starts, flat = shingles.sets(*buffers(text), width)
    return frames.like(text, {"shingles": pa.LargeListArray.from_arrays(starts, flat)})


def text_length(text: Column) -> Frame:
    lengths = pc.fill_null(pc.utf8_length(frames.column_to_arrow(text)), 0)
    return frames.like(text, {"characters": lengths.cast(pa.int64())})
