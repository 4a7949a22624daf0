"""Megatron's index: the bytes by hand, and the shards read by Megatron itself."""

from __future__ import annotations

import numpy as np
import pytest

import curator
from curator import Pipeline
from millrace import storage
from millrace.megatron_index import index, read_index, token_dtype
from tests.corpus import documents, write_parts
from tests.pretrain.mcore import ranks

LENGTHS, ROWS = np.array([3, 2, 5], np.int64), np.array([0, 2, 3], np.int64)
GOLDEN = {
    "uint16": "4d4d494449445800 00"  # magic MMIDIDX, two zeros
    "0100000000000000"  # version 1
    "08"  # uint16
    "0300000000000000"  # sequences
    "0300000000000000"  # documents + 1
    "03000000 02000000 05000000"  # lengths
    "0000000000000000 0600000000000000 0a00000000000000"  # byte pointers
    "0000000000000000 0200000000000000 0300000000000000",  # document bounds
    "int32": "4d4d494449445800 00 0100000000000000 04 0300000000000000 0300000000000000"
    "03000000 02000000 05000000"
    "0000000000000000 0c00000000000000 1400000000000000"
    "0000000000000000 0200000000000000 0300000000000000",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_bytes_of_a_small_index(name):
    assert index(LENGTHS, ROWS, np.dtype(name)).hex() == GOLDEN[name].replace(" ", "")


@pytest.mark.parametrize("name", GOLDEN)
@pytest.mark.parametrize("lengths", [[3, 2, 5], [7], []])
def test_an_index_is_read_back(name, lengths):
    given = np.array(lengths, np.int64), np.array([0, len(lengths)], np.int64)
    dtype, *found = read_index(index(*given, np.dtype(name)))
    assert dtype == np.dtype(name)
    pointers = [sum(lengths[:i]) * dtype.itemsize for i in range(len(lengths))]
    assert [array.tolist() for array in found] == [lengths, pointers, given[1].tolist()]


def test_pointers_go_beyond_two_gigabytes():
    lengths = np.full(5, 2_000_000_000, np.int64)
    _, _, pointers, _ = read_index(index(lengths, np.array([0, 5]), np.dtype(np.int32)))
    assert pointers.tolist() == [i * 8_000_000_000 for i in range(5)]


def test_what_is_no_index_is_refused():
    with pytest.raises(ValueError, match=r"not a Megatron \.idx"):
        read_index(b"PAR1" * 20)


def test_the_type_is_megatrons_choice():
    """megatron.core.datasets.indexed_dataset.DType.optimal_dtype: uint16 below 65,500."""
    assert [token_dtype(n).name for n in (100, 65_499, 65_500, 200_000)] == ["uint16", "uint16", "int32", "int32"]


def test_megatron_reads_the_shards(tmp_path):
    pytest.importorskip("torch")
    glob = write_parts(tmp_path / "in", documents(80), 2)
    stages = [curator.ReadJsonl(glob), curator.Tokenize(vocab_size=400), curator.Pack(seq_length=64, shard_tokens=9000)]
    Pipeline(stages).run(str(tmp_path / "run"), workers=0)
    manifest = storage.read_json(str(tmp_path / "run/tokens/manifest.json"))
    assert len(manifest["shards"]) > 2
    paths = [str(tmp_path / "run/tokens" / shard["name"]) for shard in manifest["shards"]]
    sizes = [100, 65_499, 65_500]
    ((shards, types),) = ranks.run(1, "tests.millrace.megatron_reader:read", paths, sizes)
    for path, theirs, shard in zip(paths, shards, manifest["shards"], strict=True):
        dtype, lengths, _, row_starts = read_index(storage.read_bytes(path + ".idx"))
        ours = np.split(np.fromfile(path + ".bin", dtype), np.cumsum(lengths)[:-1])
        assert len(theirs["sequences"]) == shard["sequences"]
        assert theirs["dtype"] == dtype.name
        assert theirs["sequences"] == [sequence.tolist() for sequence in ours]
        assert theirs["documents"] == row_starts.tolist()
        assert theirs["lengths"] == lengths.tolist()
    assert types == [token_dtype(size).name for size in sizes]
