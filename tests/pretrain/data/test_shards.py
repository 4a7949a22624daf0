"""Shards that are missing, damaged or of another vocabulary are refused in one line that says what is wrong."""

from __future__ import annotations

import shutil
import struct

import numpy as np
import pytest

from millrace import megatron_index, storage
from pretrain.config import Data
from pretrain.data.corpus import Corpus
from pretrain.data.shards import open_set, open_sets
from pretrain.errors import ShardError
from tests.pretrain.shard_sets import random_documents, write_shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_shards(tmp_path_factory.mktemp("set"), random_documents(60, 300, 50), 32, 300, shard_rows=20)


@pytest.fixture
def copy(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def edit(path, change):
    content = bytearray(path.read_bytes())
    change(content)
    storage.write_bytes(str(path), bytes(content))


def set_manifest(copy, **values):
    manifest = storage.read_json(str(copy / "tokens/manifest.json"))
    storage.write_json(
        str(copy / "tokens/manifest.json"), {k: v for k, v in (manifest | values).items() if v != "drop"}
    )


def test_a_run_folder_and_its_tokens_folder_are_the_same_set(folder):
    run, tokens = open_set(str(folder)), open_set(str(folder / "tokens"))
    assert run.digest == tokens.digest
    assert run.tokens == storage.read_json(str(folder / "tokens/manifest.json"))["tokens"]
    assert (run.seq_length, run.vocab_size, len(run.shards)) == (32, 300, 3)
    assert storage.exists(run.tokenizer)


DAMAGE = {
    "truncated .bin": (
        "shard-00001.bin",
        lambda c: c.__delitem__(slice(-2, None)),
        "shard-00001.bin has .* bytes, the",
    ),
    "empty .bin": ("shard-00001.bin", lambda c: c.clear(), "shard-00001.bin is empty"),
    "truncated .idx": ("shard-00000.idx", lambda c: c.__delitem__(slice(40, None)), "shard-00000.idx has 40 bytes"),
    "magic": ("shard-00000.idx", lambda c: c.__setitem__(0, 1), "not a Megatron .idx"),
    "type code": ("shard-00000.idx", lambda c: c.__setitem__(17, 7), "version 1, type code 7"),
    "type of the manifest": (
        "shard-00000.idx",
        lambda c: c.__setitem__(17, 4),
        "its sequences take .* bytes, the .bin",
    ),
    "sequences": ("shard-00000.idx", lambda c: c.__setitem__(24, 9), "truncated: .* bytes; .* sequences in"),
    "length": ("shard-00000.idx", lambda c: c.__setitem__(34, c[34] + 1), "its sequences take .* bytes, the .bin"),
    "pointer": ("shard-00000.idx", lambda c: c.__setitem__(slice(-8 * 21 - 4, -8 * 21), b"\xff\xff\xff\x0f"), "behind"),
    "rows": ("shard-00000.idx", lambda c: c.__setitem__(slice(-8, None), bytes(8)), "its rows do not cover"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_named(copy, damage):
    name, change, said = DAMAGE[damage]
    edit(copy / "tokens" / name, change)
    with pytest.raises(ShardError, match=said) as raised:
        open_set(str(copy))
    assert "\n" not in str(raised.value)
    assert name in str(raised.value)


@pytest.mark.parametrize("name", ["shard-00002.bin", "shard-00002.idx", "shard-00002.parquet"])
def test_a_missing_file_is_named(copy, name):
    (copy / "tokens" / name).unlink()
    with pytest.raises(ShardError, match=f"{name} is missing"):
        Corpus(Data(shards=str(copy)))


@pytest.mark.parametrize("name", ["shard-00002.bin", "shard-00002.idx", "shard-00002.parquet"])
def test_verify_finds_a_flipped_bit(copy, name):
    opened = open_set(str(copy))
    edit(copy / "tokens" / name, lambda c: c.__setitem__(-9, c[-9] ^ 1))
    with pytest.raises(ShardError, match=f"{name} is damaged: its checksum is"):
        opened.verify()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"seq_length": "drop"}, "lacks seq_length"),
        ({"shards": [{"name": "shard-00000"}]}, "lacks shards.tokens"),
        ({"shards": []}, "is empty"),
        ({"format": "x"}, "is of format 'x'"),
        ({"dtype": "int32"}, "says uint16, the manifest int32"),
        ({"seq_length": 16}, "has a row of .* tokens, the manifest says seq_length 16"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(copy, values, said):
    set_manifest(copy, **values)
    with pytest.raises(ShardError, match=said):
        open_set(str(copy))


def test_what_is_no_set_is_refused(tmp_path):
    for name, said in ((str(tmp_path), "holds no token shards"), ("s3://bucket/run", "no path on this machine")):
        with pytest.raises(ShardError, match=said):
            open_set(name)
    storage.write_json(str(tmp_path / "run.json"), {})
    with pytest.raises(ShardError, match="has not finished"):
        open_set(str(tmp_path))


def test_sets_of_two_vocabularies_are_refused(folder, tmp_path):
    other = write_shards(tmp_path / "other", [[1, 2]], 32, 300, vocabulary="u")
    smaller = write_shards(tmp_path / "smaller", [[1, 2]], 32, 200)
    with pytest.raises(ShardError, match=r"other has another vocabulary than .*: tokenizer_sha256"):
        open_sets([str(folder), str(other)])
    with pytest.raises(ShardError, match="another vocabulary"):
        open_sets([str(folder), str(smaller)])
    with pytest.raises(ShardError, match="vocabulary of 300 tokens, the model only 299"):
        open_sets([str(folder)], vocab_size=299)
    with pytest.raises(ShardError, match=r"its tokenizer has SHA-256 .*, the model's abc"):
        open_sets([str(folder)], tokenizer_sha256="abc")
    assert open_sets([str(folder)], vocab_size=384)  # a padded vocabulary


def foreign(prefix, lengths, row_starts, dtype=np.int32, tokens=None):
    flat = np.arange(sum(lengths)) % 90 if tokens is None else tokens
    storage.write_bytes(f"{prefix}.bin", np.asarray(flat, dtype).tobytes())
    content = megatron_index.index(np.array(lengths), np.array(row_starts), np.dtype(dtype))
    storage.write_bytes(f"{prefix}.idx", content)
    return str(prefix)


def test_a_pair_that_another_tool_wrote_is_a_set(tmp_path):
    prefix = foreign(tmp_path / "text_document", [5, 9, 3, 7] * 50, range(201))
    with pytest.raises(ShardError, match="does not say its vocabulary"):
        open_sets([prefix])
    with pytest.raises(ShardError, match="does not say its seq_length"):
        Corpus(Data(shards=prefix), vocab_size=90)
    with pytest.raises(ShardError, match=r"rows of up to 9 tokens, over data.seq_length 8: it is not packed"):
        Corpus(Data(shards=prefix, seq_length=8), vocab_size=90)
    corpus = Corpus(Data(shards=f"{prefix}.bin", seq_length=16, validation_share=0.3), vocab_size=90)
    rows = int(corpus.ends[0][-1])
    assert 120 < rows < 160
    assert rows + len(corpus.held.piece) == 200
    first = corpus.training(np.arange(rows)).rows
    assert len(set(first.tolist())) == rows
    order = corpus.order[0:rows][1]
    assert sorted(order.tolist()) == list(range(rows)) != order.tolist()  # nobody has shuffled it before
    assert corpus.documents(np.array([0]))[0].startswith(f"{prefix}:")


def test_rows_that_were_not_packed_can_be_read_by_gpt_dataset_only(tmp_path):
    """Corpus then counts them cut at data.seq_length; the samples are GPTDataset's."""
    prefix = foreign(tmp_path / "a", [5, 40, 3], range(4))
    settings = {"shards": prefix, "seq_length": 16, "validation_share": 0, "layout": "gpt_dataset"}
    corpus = Corpus(Data(**settings), vocab_size=90)
    assert corpus.ends[0].tolist() == [1 + 3 + 1]


def test_negative_tokens_are_refused(tmp_path):
    prefix = foreign(tmp_path / "a", [4], [0, 1], tokens=[1, 2, -3, 4])
    corpus = Corpus(Data(shards=prefix, seq_length=8, validation_share=0), vocab_size=90)
    with pytest.raises(ShardError, match="over the vocabulary of 90"):
        corpus.training(np.array([0]))


def test_an_index_of_too_few_bytes_is_refused(tmp_path):
    prefix = foreign(tmp_path / "a", [4], [0, 1])
    storage.write_bytes(f"{prefix}.idx", megatron_index.MAGIC + struct.pack("<Q", 1))
    with pytest.raises(ShardError, match="truncated: 17 bytes of a head of 34"):
        open_set(prefix)
