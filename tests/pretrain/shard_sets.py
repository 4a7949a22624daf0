"""Small shard sets, written by the curator's own packing and shard writer from tokens that a test makes up."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, models, pre_tokenizers

from curator.tokenize.pack import Shard, write_shard
from curator.tokenize.packing import pack
from millrace import megatron_index, storage, tables

END = 0  # the end-of-document token of these sets


def write_shards(
    folder: Path,
    documents: Sequence[Sequence[int]],
    seq_length: int,
    vocab_size: int,
    shard_rows: int = 1 << 30,
    seed: int = 0,
    name: str = "d",
    vocabulary: str = "t",
) -> Path:
    """Write `folder`/tokens as Pack does, and return `folder`.

    `documents` hold tokens from 1 to vocab_size - 1; END is appended to each. Document i has id "<name><i>".
    `vocabulary` is the prefix of the tokenizer's words: another one is another tokenizer of the same size.
    """
    place = str(folder / "tokens")
    pieces = [np.asarray([*document, END], np.uint32) for document in documents]
    lengths = np.array([len(piece) for piece in pieces], np.int64)
    doc_ids = np.arange(len(pieces), dtype=np.uint64)
    flat = np.concatenate([np.zeros(0, np.uint32), *pieces])
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    ids = pa.array([f"{name}{i}" for i in range(len(pieces))], pa.large_string())
    columns = {"doc_id": doc_ids, "id": ids, "tokens": pa.LargeListArray.from_arrays(starts, flat)}
    tables.write_table(str(folder / "sketch.arrow"), pa.table(columns))

    keys = np.random.default_rng(seed).permutation(len(pieces)).astype(np.uint64)
    packing = pack(lengths, keys, seq_length)
    dtype = megatron_index.token_dtype(vocab_size)
    shards = []
    for number, first in enumerate(range(0, packing.rows, shard_rows)):
        bounds = packing.row_starts[first : first + shard_rows + 1]
        cut = slice(bounds[0], bounds[-1])
        shards.append(
            write_shard(
                Shard(
                    place,
                    number,
                    {0: str(folder / "sketch.arrow")},
                    doc_ids[packing.document[cut]],
                    packing.start[cut],
                    packing.length[cut],
                    bounds - bounds[0],
                    dtype,
                )
            )
        )
    tokenizer = _tokenizer(vocab_size, vocabulary)
    storage.write_bytes(storage.join(place, "tokenizer.json"), tokenizer)
    manifest = {
        "format": "megatron",
        "seq_length": seq_length,
        "seed": seed,
        "dtype": dtype.name,
        "vocab_size": vocab_size,
        "end_of_document": END,
        "tokenizer_sha256": hashlib.sha256(tokenizer).hexdigest(),
        "documents": len(pieces),
        "tokens": int(lengths.sum()),
        "rows": packing.rows,
        "sequences": len(packing.document),
        "documents_cut": int((lengths > seq_length).sum()),
        "fill": round(int(lengths.sum()) / max(packing.rows * seq_length, 1), 6),
        "shards": shards,
    }
    storage.write_json(storage.join(place, "manifest.json"), manifest)
    return folder


def random_documents(count: int, vocab_size: int, longest: int, seed: int = 0) -> list[list[int]]:
    """Make documents of 0 to `longest` tokens, each of its own seeded numbers."""
    rng = np.random.default_rng(seed)
    return [rng.integers(1, vocab_size, n).tolist() for n in rng.integers(0, longest + 1, count)]


def _tokenizer(vocab_size: int, prefix: str) -> bytes:
    words = {"<|endoftext|>": END, **{f"{prefix}{i}": i for i in range(1, vocab_size)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer.to_str(pretty=True).encode()
