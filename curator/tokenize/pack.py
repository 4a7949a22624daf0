"""Packed, shuffled Megatron shards out of the tokens of all documents, with their provenance."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curator.errors import SpecError, check_seed
from curator.run.corpus import Corpus
from curator.run.folder import part_name
from curator.stage import CorpusStage, Frame
from curator.tokenize.packing import Packing, pack
from curator.tokenize.tokenizer import Encode, end_token, keys_of
from curator.tokenizer_file import load
from millrace import megatron_index, storage, tables


@dataclass(frozen=True)
class Pack(CorpusStage):
    """Write `tokens/`: documents shuffled by `seed` and packed into rows of `seq_length` tokens.

    shard-00000.bin, .idx      Megatron's format; a sequence is a piece of one document, a row its "document"
    shard-00000.parquet        provenance, a row a sequence: doc_id, id, start (first token in its document)
    tokenizer.json             the tokenizer, given or trained
    manifest.json              counts, hashes, type, tokenizer; written last

    Rows are not padded. Memory: 60 bytes a document, and the tokens of one shard. A shard reads its pieces
    out of the memory-mapped sketches of all parts; on an object store it fetches those sketches whole.
    """

    seq_length: int = 2048
    shard_tokens: int = 100_000_000  # a shard ends with the row that reaches this
    seed: int = 0

    reads: ClassVar = {"id": "string", "tokens": "list<uint32>"}
    sketches: ClassVar = {"id": "string", "key": "uint64", "tokens": "list<uint32>"}
    sketch_fields: ClassVar = ("seed",)
    drops: ClassVar = ("tokens",)
    applied: ClassVar = False
    output: ClassVar = "tokens"

    def __post_init__(self) -> None:
        check_seed("Pack", self.seed)
        for name in ("seq_length", "shard_tokens"):
            if getattr(self, name) < 1:
                raise SpecError(f"Pack.{name} is {getattr(self, name)}; it must be at least 1")

    def sketch(self, frame: Frame) -> Frame:
        return frame[["id", "tokens"]].assign(key=keys_of(frame, self.seed)["key"])

    def fit(self, corpus: Corpus, folder: str) -> None:
        encode = corpus.result(Encode)
        if encode is None:
            raise SpecError("Pack needs a Tokenize stage before it")
        tokenizer = load(encode.tokenizer)
        vocab_size = max(tokenizer.get_vocab().values()) + 1  # ids may have holes
        dtype = megatron_index.token_dtype(vocab_size)
        storage.remove(folder)
        content = storage.read_bytes(encode.tokenizer)
        storage.write_bytes(storage.join(folder, "tokenizer.json"), content)
        lengths, keys, doc_ids = _measured(corpus)
        packing = pack(lengths, keys, self.seq_length)
        jobs = _shards(corpus, folder, packing, doc_ids, dtype, self.shard_tokens)
        shards = corpus.map("writing shards", write_shard, jobs)
        tokens = int(packing.length.sum())
        storage.write_json(
            storage.join(folder, "manifest.json"),
            {
                "format": "megatron",
                "seq_length": self.seq_length,
                "seed": self.seed,
                "dtype": dtype.name,
                "vocab_size": vocab_size,
                "end_of_document": end_token(tokenizer, encode.tokenizer, encode.end_of_document),
                "tokenizer_sha256": hashlib.sha256(content).hexdigest(),
                "documents": len(lengths),
                "tokens": tokens,
                "rows": packing.rows,
                "sequences": len(packing.document),
                "documents_cut": int((lengths > self.seq_length).sum()),
                "fill": round(tokens / max(packing.rows * self.seq_length, 1), 6),
                "shards": shards,
            },
        )


def _measured(corpus: Corpus) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (tokens int64, key uint64, doc_id uint64) of every document."""
    lengths, keys, doc_ids = [], [], []
    for _, table in corpus.sketches("key", "tokens"):
        offsets = [np.asarray(c.offsets) for c in table["tokens"].chunks]
        lengths.append(np.concatenate([np.zeros(0, np.int64), *map(np.diff, offsets)]))
        keys.append(table["key"].to_numpy())
        doc_ids.append(table["doc_id"].to_numpy())
    if not lengths:
        return np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint64)
    return np.concatenate(lengths), np.concatenate(keys), np.concatenate(doc_ids)


@dataclass(frozen=True)
class Shard:
    """One shard to write: for each piece the sketch it comes from and what of it."""

    folder: str
    number: int
    sketches: dict[int, str]  # part -> URL of its sketch
    doc_id: np.ndarray  # uint64 (pieces,)
    start: np.ndarray  # int64 (pieces,)
    length: np.ndarray
    row_starts: np.ndarray  # int64 (rows + 1,)
    dtype: np.dtype


def _shards(
    corpus: Corpus, folder: str, packing: Packing, doc_ids: np.ndarray, dtype: np.dtype, shard_tokens: int
) -> list[Shard]:
    """Cut the rows into shards: a shard ends with the row that reaches `shard_tokens`."""
    ends = np.cumsum(packing.length)[packing.row_starts[1:] - 1]
    full = np.flatnonzero(np.diff(ends // shard_tokens, prepend=0)) + 1
    bounds = np.unique(np.concatenate([[0], full, [packing.rows]]))
    jobs: list[Shard] = []
    for low, high in itertools.pairwise(bounds):
        pieces = slice(packing.row_starts[low], packing.row_starts[high])
        ids = doc_ids[packing.document[pieces]]
        sketches = {
            part: corpus.folder.path(corpus.alive.place, part_name(part) + ".arrow")
            for part in np.unique(ids >> np.uint64(32)).tolist()
        }
        starts = packing.row_starts[low : high + 1] - packing.row_starts[low]
        jobs.append(
            Shard(folder, len(jobs), sketches, ids, packing.start[pieces], packing.length[pieces], starts, dtype)
        )
    return jobs


def write_shard(shard: Shard) -> dict[str, Any]:
    """Write one shard and return what the manifest says of it."""
    ends = np.cumsum(shard.length)
    tokens = np.empty(int(ends[-1]), shard.dtype)
    order = np.argsort(shard.doc_id >> np.uint64(32), kind="stable")  # pieces by part
    parts = (shard.doc_id >> np.uint64(32))[order]
    ids: list[pa.Array] = []
    for part, url in shard.sketches.items():
        table = tables.read_table(url, ["doc_id", "id", "tokens"])
        mine = order[slice(*np.searchsorted(parts, np.array([part, part + 1], np.uint64)))]
        rows = np.searchsorted(table["doc_id"].to_numpy(), shard.doc_id[mine])
        ids.append(table["id"].take(pa.array(rows)).combine_chunks())
        _copy(table["tokens"], rows, shard.start[mine], shard.length[mine], ends[mine], tokens)
    name = f"shard-{shard.number:05d}"
    url = storage.join(shard.folder, name)
    place = np.argsort(order)
    provenance = pa.table(
        {
            "doc_id": shard.doc_id,
            "id": pa.concat_arrays(ids).take(pa.array(place)),
            "start": shard.start,
            "length": shard.length,
        }
    )
    storage.write_bytes(url + ".bin", tokens.tobytes())
    storage.write_bytes(url + ".idx", megatron_index.index(shard.length, shard.row_starts, shard.dtype))
    return {
        "name": name,
        "tokens": len(tokens),
        "rows": len(shard.row_starts) - 1,
        "sequences": len(shard.length),
        "bin": tables.checksum(url + ".bin"),
        "idx": tables.checksum(url + ".idx"),
        "provenance": tables.write_table(url + ".parquet", provenance),
    }


def _copy(
    column: pa.ChunkedArray,
    rows: np.ndarray,
    starts: np.ndarray,
    lengths: np.ndarray,
    ends: np.ndarray,
    out: np.ndarray,
) -> None:
    """Copy pieces of the listed rows' tokens to where they end in `out`; the column stays memory-mapped."""
    first = 0
    for chunk in column.chunks:
        offsets, values = np.asarray(chunk.offsets), chunk.values.to_numpy()
        here = np.flatnonzero((rows >= first) & (rows < first + len(chunk)))
        for piece in here.tolist():
            begin = offsets[rows[piece] - first] + starts[piece]
            out[ends[piece] - lengths[piece] : ends[piece]] = values[begin : begin + lengths[piece]]
        first += len(chunk)
