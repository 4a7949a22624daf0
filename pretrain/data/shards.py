"""Token shards on disk: opened by memory map, and checked before a token is trained on.

A set is what one run of the curator made: tokens/ with manifest.json, .idx, .bin, provenance and tokenizer. A
bare pair PREFIX.bin, PREFIX.idx, written by another tool, is a set too: of unknown vocabulary and tokenizer.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace import storage, tables
from millrace.megatron_index import read_index
from pretrain.errors import ShardError

NEEDED = ("format", "seq_length", "dtype", "vocab_size", "end_of_document", "tokenizer_sha256", "shards")
NEEDED_OF_SHARDS = ("name", "tokens", "rows", "sequences", "bin", "idx", "provenance")


@dataclass(frozen=True)
class Shard:
    """One .bin with its .idx. A piece is a part of one document; a row is some pieces that are packed together."""

    url: str  # without its ending
    tokens: np.ndarray  # uint16 or int32 (tokens,), memory-mapped
    lengths: np.ndarray  # int32 (pieces,): tokens of each piece
    pointers: np.ndarray  # int64 (pieces,): its first byte in the .bin
    row_starts: np.ndarray  # int64 (rows + 1,): first piece of each row

    @property
    def provenance(self) -> str:
        return f"{self.url}.parquet"


@dataclass(frozen=True)
class ShardSet:
    """The shards of one run; None where a bare .bin does not say it."""

    name: str  # as it was given
    shards: tuple[Shard, ...]
    digest: str  # SHA-256 of manifest.json; of the .idx where there is none
    manifest: Mapping[str, Any] | None = None
    folder: str = ""

    @property
    def seq_length(self) -> int | None:
        return int(self.manifest["seq_length"]) if self.manifest else None

    @property
    def vocab_size(self) -> int | None:
        return int(self.manifest["vocab_size"]) if self.manifest else None

    @property
    def tokenizer(self) -> str | None:
        """The URL of its tokenizer.json."""
        return storage.join(self.folder, "tokenizer.json") if self.manifest else None

    @property
    def tokens(self) -> int:
        return sum(len(shard.tokens) for shard in self.shards)

    def verify(self) -> None:
        """Read every file and compare it with the manifest's checksum; raise ShardError at the first that differs.

        About 1 GB/s. A bare set has no checksums: its tokens are checked as they are read.
        """
        for said in self.manifest["shards"] if self.manifest else ():
            for ending, kind in ((".bin", "bin"), (".idx", "idx"), (".parquet", "provenance")):
                url = storage.join(self.folder, said["name"] + ending)
                if storage.size(url) is None:
                    raise ShardError(f"{url} is missing")
                found = tables.checksum(url)
                if found != said[kind]:
                    raise ShardError(f"{url} is damaged: its checksum is {found}, the manifest says {said[kind]}")


def open_sets(
    names: list[str], vocab_size: int | None = None, tokenizer_sha256: str | None = None
) -> tuple[ShardSet, ...]:
    """Open shard sets that are trained on together.

    `vocab_size` is the model's, `tokenizer_sha256` that of the tokenizer the model was trained with; None: unknown.
    A model may know more tokens than the shards' tokenizer, never fewer. Raises ShardError, in one line.
    """
    if not names:
        raise ShardError("data.shards names no shards; give a run of the curator, or a list, or {folder: weight}")
    sets = tuple(map(open_set, names))
    said = [one for one in sets if one.manifest]
    for one in said:
        assert one.manifest
        for key in ("tokenizer_sha256", "vocab_size"):
            first, here = (said[0].manifest or {})[key], one.manifest[key]
            if here != first:
                raise ShardError(
                    f"{one.name} has another vocabulary than {said[0].name}: {key} {here}, there {first}; "
                    "tokenize both with one tokenizer"
                )
        if vocab_size is not None and one.manifest["vocab_size"] > vocab_size:
            raise ShardError(
                f"{one.name} has a vocabulary of {one.manifest['vocab_size']} tokens, the model only {vocab_size}: "
                "set model.vocab_size, or tokenize with the model's tokenizer"
            )
        if tokenizer_sha256 is not None and one.manifest["tokenizer_sha256"] != tokenizer_sha256:
            raise ShardError(
                f"{one.name} has another vocabulary than the model: its tokenizer has SHA-256 "
                f"{one.manifest['tokenizer_sha256']}, the model's {tokenizer_sha256}"
            )
    if not said and vocab_size is None:
        raise ShardError(f"{sets[0].name} does not say its vocabulary: it has no manifest.json; set model.vocab_size")
    return sets


def open_set(name: str) -> ShardSet:
    """Open one shard set: a run folder that holds tokens/, a tokens/ folder, or the prefix of a .bin and .idx.

    Checks that every file is there and of its size, and that each .idx describes its .bin: O(pieces), without
    reading a token. Raises ShardError.
    """
    if not storage.is_local(name):
        raise ShardError(f"{name} is no path on this machine; shards are memory-mapped, copy them to a local disk")
    place = storage.absolute(name)
    for folder in (place, storage.join(place, "tokens")):
        if storage.exists(storage.join(folder, "manifest.json")):
            return _open_manifest(name, folder)
    prefix = place.removesuffix(".bin").removesuffix(".idx")
    if storage.exists(f"{prefix}.idx") or storage.exists(f"{prefix}.bin"):
        digest = hashlib.sha256(_read(f"{prefix}.idx")).hexdigest()
        return ShardSet(name, (_open_shard(prefix),), digest)
    raise ShardError(
        f"{name} holds no token shards: neither manifest.json, tokens/manifest.json nor {name}.idx is there"
        + (" (the run has not finished)" if storage.exists(storage.join(place, "run.json")) else "")
    )


def _open_manifest(name: str, folder: str) -> ShardSet:
    url = storage.join(folder, "manifest.json")
    manifest = storage.read_json(url)
    missing = [key for key in NEEDED if key not in manifest]
    for said in manifest.get("shards", ()):
        missing += [f"shards.{key}" for key in NEEDED_OF_SHARDS if key not in said]
    if missing:
        raise ShardError(f"{url} lacks {', '.join(dict.fromkeys(missing))}")
    if manifest["format"] != "megatron":
        raise ShardError(f"{url} is of format {manifest['format']!r}; megatron was expected")
    if not manifest["shards"]:
        raise ShardError(f"{name} is empty: its manifest lists no shards, no document was left to pack")
    shards = []
    for said in manifest["shards"]:
        shard = _open_shard(storage.join(folder, said["name"]), said)
        if shard.tokens.dtype.name != manifest["dtype"]:
            raise ShardError(f"{shard.url}.idx says {shard.tokens.dtype}, the manifest {manifest['dtype']}")
        _check_rows(shard, manifest["seq_length"])
        shards.append(shard)
    return ShardSet(name, tuple(shards), hashlib.sha256(_read(url)).hexdigest(), manifest, folder)


def _open_shard(prefix: str, said: Mapping[str, Any] | None = None) -> Shard:
    for ending, kind in ((".idx", "idx"), (".bin", "bin")):
        size = storage.size(prefix + ending)
        if size is None:
            raise ShardError(f"{prefix}{ending} is missing")
        if size == 0:
            raise ShardError(f"{prefix}{ending} is empty")
        if said and size != said[kind]["bytes"]:
            raise ShardError(f"{prefix}{ending} has {size} bytes, the manifest says {said[kind]['bytes']}")
    try:
        dtype, lengths, pointers, row_starts = read_index(_map(f"{prefix}.idx"))
        _check_index(lengths, pointers, row_starts, dtype.itemsize, storage.size(f"{prefix}.bin") or 0)
    except ValueError as error:
        raise ShardError(f"{prefix}.idx does not match its .bin: {error}") from None
    shard = Shard(prefix, np.frombuffer(_map(f"{prefix}.bin"), dtype), lengths, pointers, row_starts)
    if said:
        found = {"tokens": len(shard.tokens), "rows": len(row_starts) - 1, "sequences": len(lengths)}
        for key, value in found.items():
            if value != said[key]:
                raise ShardError(f"{prefix}.idx has {value} {key}, the manifest says {said[key]}")
    return shard


def _check_index(
    lengths: np.ndarray, pointers: np.ndarray, row_starts: np.ndarray, itemsize: int, bin_bytes: int
) -> None:
    """Raise ValueError where following the index would leave the .bin, which compiled code does not notice."""
    if not len(lengths):
        raise ValueError("it has no sequences")
    total = int(lengths.sum(dtype=np.int64)) * itemsize
    if total != bin_bytes:
        raise ValueError(f"its sequences take {total} bytes, the .bin has {bin_bytes}")
    if lengths.min() < 0 or (pointers % itemsize).any() or pointers.min() < 0:
        raise ValueError("a sequence has a negative length or a pointer between two tokens")
    if int((pointers + lengths.astype(np.int64) * itemsize).max()) > bin_bytes:
        raise ValueError("a sequence ends behind the end of the .bin")
    if row_starts[0] != 0 or row_starts[-1] != len(lengths) or (np.diff(row_starts) < 0).any():
        raise ValueError("its rows do not cover its sequences in order")


def _check_rows(shard: Shard, seq_length: int) -> None:
    longest = int(row_tokens(shard.lengths, shard.row_starts).max())
    if longest > seq_length:
        raise ShardError(f"{shard.url}.idx has a row of {longest} tokens, the manifest says seq_length {seq_length}")


def row_tokens(lengths: np.ndarray, row_starts: np.ndarray) -> np.ndarray:
    """Sum the lengths of each row's pieces: int64 (rows,). Rows without pieces have 0."""
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    totals: np.ndarray = ends[row_starts[1:]] - ends[row_starts[:-1]]
    return totals


def _map(url: str) -> mmap.mmap:
    with storage.local_path(url).open("rb") as stream:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def _read(url: str) -> bytes:
    if not storage.exists(url):
        raise ShardError(f"{url} is missing")
    return storage.read_bytes(url)
