"""The CPU versions of the contracts: Arrow buffers in, compiled loops, columns out."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.kernels import lsh, shingles, signals, sketch, winnow
from curator.kernels.arrow import buffers, each
from curator.kernels.word_units import word_units
from curator.stage import Column, Frame


def text_signals(text: Column, names: tuple[str, ...]) -> Frame:
    return frames.like(text, signals.measure(*buffers(text), names))


def hash128(text: Column) -> Frame:
    import xxhash

    digests = b"".join(map(xxhash.xxh3_128_digest, each(text)))
    halves = np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 2)
    return frames.like(text, {"hash_hi": halves[:, 0], "hash_lo": halves[:, 1]})


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


def winnowed(text: Column, length: int, words: bool) -> Frame:
    bounds, units = word_units(*buffers(text))[:2] if words else buffers(text)
    runs = winnow.winnow(bounds, units, length)
    offsets = np.searchsorted(runs.documents, np.arange(len(bounds)))
    columns = {"starts": runs.starts, "windows": runs.windows.astype(np.uint32), "prints": runs.prints}
    columns["hashes"] = runs.hashes
    return frames.like(text, {name: pa.LargeListArray.from_arrays(offsets, values) for name, values in columns.items()})
