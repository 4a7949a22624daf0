"""Training and validation: which documents are held out, and what rows either side is read in.

A document is held out by the hash of its id, whatever shard, set or run it is in; documents of a deduplication
cluster by the hash of their cluster, so that near-copies never stand on both sides. Packed rows hold several
documents: a training row is a row without its held-out pieces, closed up; these are packed anew, best fit.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from millrace import storage, tables
from pretrain.config import Data
from pretrain.data.order import mixed
from pretrain.data.shards import Shard, ShardSet, row_tokens
from pretrain.errors import ShardError


@dataclass(frozen=True)
class Rows:
    """How the training side of one shard is cut into rows of data.seq_length; 12 bytes a row, 1 a piece."""

    held: np.ndarray  # bool (pieces,): held out
    first: np.ndarray  # int64 (rows + 1,): first piece; the last entry ends the shard
    skip: np.ndarray  # int32 (rows,): tokens of the stored row that stand in training rows before this one
    tokens: int  # not held out

    def bounds(self, row: int) -> tuple[int, int, int]:
        """Return (first piece, piece after the last, tokens to skip) of a row."""
        after = row + 1
        while after < len(self.skip) and self.skip[after]:
            after += 1
        return int(self.first[row]), int(self.first[after]), int(self.skip[row])


@dataclass(frozen=True)
class Held:
    """Held-out pieces in the order of their rows, (pieces,) each."""

    set: np.ndarray  # int64
    shard: np.ndarray  # int64: in the set
    piece: np.ndarray  # int64: in the shard
    begin: np.ndarray  # int64: first token, in the piece
    length: np.ndarray  # int64
    row_starts: np.ndarray  # int64 (rows + 1,)


def held_out(sets: Sequence[ShardSet], data: Data) -> list[list[np.ndarray]]:
    """Tell for each piece of each shard of each set whether its document is held out.

    Reads the ids of the provenance: about 0.4 s a million pieces. Without provenance a document is a piece, and
    the hash is that of its number in the set. Raises ShardError.
    """
    clusters = _clusters(data.clusters)
    found = []
    for one in sets:
        number = 0
        sides = []
        for shard in one.shards:
            if not data.validation_share:
                sides.append(np.zeros(len(shard.lengths), bool))
            elif one.manifest is None:
                hashes = mixed(np.arange(number, number + len(shard.lengths)), (data.seed,))
                sides.append(hashes < _limit(data.validation_share))
            else:
                sides.append(_by_document(shard, data, clusters))
            number += len(shard.lengths)
        found.append(sides)
    return found


def _by_document(shard: Shard, data: Data, clusters: pa.Table | None) -> np.ndarray:
    names = document_ids(shard)
    if clusters is not None:
        known = clusters["cluster"].take(pc.index_in(names, clusters["id"]))
        names = pc.coalesce(known, names)
    seed = data.seed & 0xFFFFFFFFFFFFFFFF
    digest = functools.partial(xxhash.xxh3_64_intdigest, seed=seed)
    hashes = np.fromiter(map(digest, names.cast(pa.large_binary()).to_pylist()), np.uint64, len(names))
    side: np.ndarray = hashes < _limit(data.validation_share)
    return side


def document_ids(shard: Shard) -> pa.ChunkedArray:
    """Return the id of every piece's document. Raises ShardError where provenance is missing or of another shard."""
    if not storage.exists(shard.provenance):
        raise ShardError(f"{shard.provenance} is missing; without it no document can be held out")
    try:
        ids = tables.read_table(shard.provenance, ["id"])["id"]
    except (pa.ArrowInvalid, KeyError) as error:
        raise ShardError(f"{shard.provenance} cannot be read: {str(error).splitlines()[0]}") from None
    if len(ids) != len(shard.lengths):
        raise ShardError(f"{shard.provenance} has {len(ids)} pieces, the .idx {len(shard.lengths)}")
    return ids


def _limit(share: float) -> np.uint64:
    return np.uint64(share * 2.0**64)  # share < 1, so below 2**64


def _clusters(url: str) -> pa.Table | None:
    """Return the table id, cluster as strings. Raises ShardError where it is not that."""
    if not url:
        return None
    if not storage.exists(url):
        raise ShardError(f"data.clusters: {url} is missing")
    try:
        table = tables.read_table(url)
    except pa.ArrowInvalid:
        raise ShardError(f"data.clusters: {url} is not a Parquet file") from None
    if not {"id", "cluster"} <= set(table.column_names):
        raise ShardError(f"data.clusters: {url} has columns {', '.join(table.column_names)}; id and cluster expected")
    table = table.select(["id", "cluster"]).cast(pa.schema({"id": pa.large_string(), "cluster": pa.large_string()}))
    if len(pc.unique(table["id"])) != len(table):
        raise ShardError(f"data.clusters: {url} names a document twice")
    return table


def check_length(data: Data, sets: Sequence[ShardSet]) -> int:
    """Return the length of training rows: data.seq_length, else the shards' own. Raises ShardError where none fits."""
    wanted = data.seq_length
    own = next((one for one in sets if one.seq_length), None)
    if wanted is None and own is None:
        raise ShardError(f"{sets[0].name} does not say its seq_length: it has no manifest.json; set data.seq_length")
    length = wanted or int(own.seq_length or 0)  # type: ignore[union-attr]
    for one in sets:
        stored = one.seq_length
        if stored and stored % length and length % stored:
            raise ShardError(
                f"data.seq_length {length} neither divides the {stored} tokens of {one.name}'s rows nor is a multiple "
                "of them"
            )
        if stored is None and data.layout == "packed":
            longest = max(int(row_tokens(shard.lengths, shard.row_starts).max()) for shard in one.shards)
            if longest > length:
                raise ShardError(
                    f"{one.name} has rows of up to {longest} tokens, over data.seq_length {length}: it is not packed; "
                    "set data.layout to gpt_dataset"
                )
    return length


def training_rows(shard: Shard, held: np.ndarray, stored: int | None, seq_length: int) -> Rows:
    """Cut the training side of a shard into rows.

    A stored row is one row, or cut into several, or joined with the next in the shard; without its held-out pieces
    it may be shorter, and where nothing is left of it there is no row. `stored` is the length that rows were packed
    to; None: they were not, and are cut where they are longer, never joined.
    """
    left = row_tokens(np.where(held, np.int32(0), shard.lengths), shard.row_starts)
    if stored is None:
        stored = max(seq_length, int(left.max()))
    if seq_length >= stored:
        kept = np.flatnonzero(left)[:: seq_length // stored]
        within = np.zeros(len(kept), np.int64)
    else:
        parts = -(-left // seq_length)
        kept = np.repeat(np.arange(len(left)), parts)
        within = np.arange(len(kept)) - np.repeat(np.cumsum(parts) - parts, parts)
    first = np.append(shard.row_starts[kept], len(shard.lengths))
    return Rows(held, first, (within * seq_length).astype(np.int32), int(left.sum()))


def held_rows(sets: Sequence[ShardSet], held: list[list[np.ndarray]], seq_length: int, seed: int) -> Held:
    """Pack the held-out pieces of all sets into rows, in a seeded order: the first rows are a sample of all.

    A piece longer than a row is cut. 100 bytes a held-out piece.
    """
    from pretrain.data import kernels

    parts = []
    for i, one in enumerate(sets):
        for k, shard in enumerate(one.shards):
            pieces = np.flatnonzero(held[i][k])
            parts.append(_cut(i, k, pieces, shard.lengths[pieces].astype(np.int64), seq_length))
    which, shard_number, piece, begin, length = np.concatenate([np.zeros((5, 0), np.int64), *parts], axis=1)
    longest_first = np.argsort(-length, kind="stable")
    row = kernels.best_fit(length[longest_first], seq_length)
    rows = int(row.max(initial=-1)) + 1
    rank = np.empty(rows, np.int64)
    rank[np.argsort(mixed(np.arange(rows), (seed, rows)), kind="stable")] = np.arange(rows)
    by_row = np.argsort(rank[row], kind="stable")
    place = longest_first[by_row]
    counts = np.bincount(rank[row], minlength=rows)
    row_starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return Held(which[place], shard_number[place], piece[place], begin[place], length[place], row_starts)


def _cut(which: int, shard: int, pieces: np.ndarray, lengths: np.ndarray, seq_length: int) -> np.ndarray:
    """Return int64 (5, parts): set, shard, piece, begin, length of parts of at most seq_length tokens."""
    counts = -(-lengths // seq_length)
    piece = np.repeat(pieces, counts)
    begin = (np.arange(len(piece)) - np.repeat(np.cumsum(counts) - counts, counts)) * seq_length
    length = np.minimum(np.repeat(lengths, counts) - begin, seq_length)
    return np.stack([np.full(len(piece), which), np.full(len(piece), shard), piece, begin, length])
