"""Every rank gets its rows, at any position, and each row is what its documents say; by plain Python beside it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from millrace import storage
from millrace.megatron_index import read_index
from pretrain.batch import Batch
from pretrain.config import Data
from pretrain.data import corpus as corpus_module
from pretrain.data.corpus import EMPTY, Corpus
from pretrain.data.loader import Ahead, Loader
from pretrain.errors import SettingsError, ShardError
from tests.pretrain.shard_sets import random_documents, write_shards

LENGTH, VOCABULARY = 32, 500


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    documents = random_documents(300, VOCABULARY, 60, seed=1)
    return write_shards(tmp_path_factory.mktemp("one"), documents, LENGTH, VOCABULARY, shard_rows=70)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    documents = random_documents(90, VOCABULARY, 100, seed=2)
    return write_shards(tmp_path_factory.mktemp("other"), documents, LENGTH, VOCABULARY, name="e")


def data(*folders: Path, **settings: object) -> Data:
    return Data(**({"shards": [str(f) for f in folders], "validation_share": 0.2, "prefetch": 0} | settings))  # type: ignore[arg-type]


def stored_rows(folder: Path) -> list[list[tuple[str, list[int]]]]:
    """(document, tokens) of each piece of each row, in stored order, read piece by piece."""
    found = []
    for path in sorted((folder / "tokens").glob("*.idx")):
        dtype, lengths, pointers, starts = read_index(path.read_bytes())
        flat = np.fromfile(path.with_suffix(".bin"), dtype)
        ids = pq.read_table(path.with_suffix(".parquet"))["id"].to_pylist()
        cut = [(ids[i], flat[p // dtype.itemsize :][:n].tolist()) for i, (p, n) in enumerate(zip(pointers, lengths))]
        found += [cut[low:high] for low, high in zip(starts, starts[1:])]
    return found


def as_pieces(batch: Batch) -> list[list[list[int]]]:
    """The pieces of each row by cu_seqlens, padding left off; checks every array of the batch on the way."""
    rows, length = batch.tokens.shape
    assert [a.dtype.name for a in vars(batch).values()] == ["int64", "int64", "float32", "int64", "int32", "int64"]
    assert batch.cu_seqlens[0] == 0
    assert batch.cu_seqlens[-1] == rows * length
    assert set(range(0, rows * length, length)) <= set(batch.cu_seqlens.tolist())
    assert (np.diff(batch.cu_seqlens) > 0).all()
    found: list[list[list[int]]] = [[] for _ in range(rows)]
    flat = [a.reshape(-1) for a in (batch.tokens, batch.labels, batch.weights, batch.positions)]
    for low, high in zip(batch.cu_seqlens.tolist(), batch.cu_seqlens[1:].tolist()):
        tokens, labels, weights, positions = (a[low:high].tolist() for a in flat)
        assert positions == list(range(high - low))
        if sum(weights) or high - low == 1 and tokens != [0] or tokens == [0] and high % length:
            assert labels == [*tokens[1:], 0]
            assert weights == [1.0] * (high - low - 1) + [0.0]
            found[low // length].append(tokens)
        elif set(tokens) != {0} or high % length:
            raise AssertionError(f"neither a piece nor padding: {tokens}")
        else:
            assert set(labels) == {0}
            found[low // length].append([])
    return found


def tokens_of(batch: Batch, row: int) -> list[int]:
    return [token for piece in as_pieces(batch)[row] for token in piece]


def test_a_training_row_is_the_stored_row_without_its_held_out_pieces(one):
    corpus = Corpus(data(one))
    held = {name for row in stored_rows(one) for name, _ in row if is_held(corpus, name)}
    expected = [[tokens for name, tokens in row if name not in held] for row in stored_rows(one)]
    expected = [row for row in expected if row]
    assert 0 < len(held) < 150
    got = [as_pieces(corpus.training(np.arange(i, i + 1)))[0] for i in range(len(expected))]
    for found, row in zip(got, expected, strict=True):
        used = sum(map(len, row))
        assert found[: len(row)] == [p if p != [0] or i < len(row) - 1 or used == LENGTH or p else p for i, p in enumerate(row)]
        assert len(found) - len(row) == (used < LENGTH)


def is_held(corpus: Corpus, name: str) -> bool:
    import xxhash

    return bool(xxhash.xxh3_64_intdigest(name, seed=corpus.data.seed) < corpus.data.validation_share * 2**64)
