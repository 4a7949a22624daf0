"""Megatron's indexed datasets: `.bin` raw tokens, `.idx` lengths, pointers and document bounds.

Layout of .idx, little endian (megatron.core.datasets.indexed_dataset, 0.16): 9 bytes MMIDIDX\\0\\0, u64 version 1,
u8 type code, u64 sequences, u64 documents + 1, i32 lengths[sequences], i64 byte pointers[sequences],
i64 document bounds[documents + 1] in sequences.

Here a sequence is a piece of one document, and a Megatron "document" is a packed row. So GPTDataset,
which reads sequences, sees documents; and the bounds are the rows with their cu_seqlens.
"""

from __future__ import annotations

import mmap
import struct

import numpy as np

MAGIC = b"MMIDIDX\x00\x00"
HEAD_BYTES = 34
CODES: dict[np.dtype, int] = {np.dtype(np.uint16): 8, np.dtype(np.int32): 4}
LARGEST_UINT16_VOCABULARY = 65_500  # Megatron's own bound


def token_dtype(vocab_size: int) -> np.dtype:
    """Return the type Megatron chooses for a vocabulary: uint16 below 65,500 tokens, else int32."""
    return np.dtype(np.uint16) if vocab_size < LARGEST_UINT16_VOCABULARY else np.dtype(np.int32)


def index(lengths: np.ndarray, row_starts: np.ndarray, dtype: np.dtype) -> bytes:
    """Return the .idx of sequences of `lengths` tokens, cut into rows by `row_starts` (rows + 1)."""
    pointers = np.zeros(len(lengths), np.int64)
    np.cumsum(lengths[:-1] * dtype.itemsize, out=pointers[1:])
    head = MAGIC + struct.pack("<QBQQ", 1, CODES[dtype], len(lengths), len(row_starts))
    return b"".join(
        [
            head,
            lengths.astype("<i4").tobytes(),
            pointers.astype("<i8").tobytes(),
            row_starts.astype("<i8").tobytes(),
        ]
    )


def read_index(content: bytes | mmap.mmap) -> tuple[np.dtype, np.ndarray, np.ndarray, np.ndarray]:
    """Return (dtype, lengths, pointers, row_starts) of an .idx, views of `content`; ValueError says what is wrong."""
    if content[: len(MAGIC)] != MAGIC:
        raise ValueError("not a Megatron .idx")
    if len(content) < HEAD_BYTES:
        raise ValueError(f"truncated: {len(content)} bytes of a head of {HEAD_BYTES}")
    version, code, sequences, bounds = struct.unpack_from("<QBQQ", content, len(MAGIC))
    types = {c: d for d, c in CODES.items()}
    if version != 1 or code not in types:
        raise ValueError(f"version {version}, type code {code}; it must be version 1, code {sorted(types)}")
    stop = HEAD_BYTES + 12 * sequences + 8 * bounds
    if len(content) < stop:
        raise ValueError(f"truncated: {len(content)} bytes; {sequences} sequences in {bounds - 1} rows take {stop}")
    lengths = np.frombuffer(content, "<i4", sequences, HEAD_BYTES)
    pointers = np.frombuffer(content, "<i8", sequences, HEAD_BYTES + 4 * sequences)
    return types[code], lengths, pointers, np.frombuffer(content, "<i8", bounds, HEAD_BYTES + 12 * sequences)
