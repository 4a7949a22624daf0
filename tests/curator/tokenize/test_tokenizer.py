"""Tokens are those of plain tokenizers, and a trained tokenizer depends on the text alone."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xxhash
from tokenizers import Tokenizer, models, pre_tokenizers

import curator
from curator import Pipeline, frames
from curator.errors import ModelError
from curator.tokenize.tokenizer import END_OF_DOCUMENT, Encode, end_token, keys_of, train
from curator.tokenizer_file import load
from tests.corpus import documents, write_parts

HOSTILE = [
    "",
    " ",
    "\x00",
    "\U0001f600 emoji",
    "a\r\nb\u2028c",
    "İstanbul ﬁ",
    "x" * 5000,
    "<|endoftext|>",
    "</s> [SEP]",
]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [record["text"] for record in documents(60, seed=1)]


@pytest.fixture(scope="module")
def path(tmp_path_factory, texts) -> str:
    """A trained tokenizer."""
    place = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    place.write_text(train(texts, 600))
    return str(place)


def encoded(path: str, texts: list[str | None]) -> list[list[int]]:
    table = pa.table({"text": pa.array(texts, pa.large_string())})
    frame = frames.from_arrow(table)
    frame.index = pd.RangeIndex(50, 50 + len(texts))
    made = Encode(path).map(frame)
    assert made["n_tokens"].tolist() == [len(tokens) for tokens in made["tokens"]]
    assert list(made.index) == list(frame.index)
    return [list(tokens) for tokens in made["tokens"]]


def test_training_twice_gives_equal_bytes(texts):
    assert train(texts, 600) == train(list(texts), 600)
    assert train(texts, 600) != train(texts, 500)


def test_training_does_not_depend_on_the_order_of_texts(texts):
    shuffled = random.Random(1).sample(texts, len(texts))
    assert train(shuffled, 600) == train(texts, 600)


def test_the_vocabulary_is_no_larger_than_asked_and_holds_all_bytes(path):
    tokenizer = Tokenizer.from_file(path)
    assert tokenizer.get_vocab_size() == 600
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= set(tokenizer.get_vocab())


def test_ids_against_plain_tokenizers(path, texts):
    plain = Tokenizer.from_file(path)
    end = plain.token_to_id("<|endoftext|>")
    wanted = [[*plain.encode(text, add_special_tokens=False).ids, end] for text in texts]
    assert encoded(path, texts) == wanted


def test_tokens_decode_to_the_text(path, texts):
    tokenizer = Tokenizer.from_file(path)
    for text, tokens in zip(texts + HOSTILE, encoded(path, texts + HOSTILE)):
        assert tokenizer.decode(tokens[:-1], skip_special_tokens=False) == text
        assert tokens[-1] == tokenizer.token_to_id("<|endoftext|>")


def test_text_that_spells_a_special_token_is_encoded_as_text(path):
    end = Tokenizer.from_file(path).token_to_id("<|endoftext|>")
    ((*tokens, last),) = encoded(path, ["one <|endoftext|> two"])
    assert end not in tokens
    assert last == end
    assert Tokenizer.from_file(path).encode("<|endoftext|>").ids == [end]  # what it would be otherwise


def test_null_and_empty_text_is_an_end_of_document(path):
    end = Tokenizer.from_file(path).token_to_id("<|endoftext|>")
    assert encoded(path, ["", None]) == [[end], [end]]
    assert encoded(path, []) == []


def test_a_tokenizer_that_truncates_or_pads_does_not(tmp_path, path, texts):
    tokenizer = Tokenizer.from_file(path)
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=16)
    tokenizer.save(str(tmp_path / "cutting.json"))
    assert encoded(str(tmp_path / "cutting.json"), texts) == encoded(path, texts)


@pytest.mark.parametrize("token", END_OF_DOCUMENT)
def test_the_usual_ends_of_documents_are_found(token):
    tokenizer = Tokenizer(models.WordLevel({"a": 0, token: 7, "[UNK]": 1}, unk_token="[UNK]"))
    assert end_token(tokenizer, "x.json", "") == 7
    assert end_token(tokenizer, "x.json", "a") == 0


def test_a_missing_end_of_document_is_named():
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(ModelError, match=r"x\.json: no end-of-document token: it has no 'b'.*special tokens: none"):
        end_token(tokenizer, "x.json", "b")


def test_a_file_that_is_no_tokenizer_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(ModelError, match=r"x\.json is not a tokenizer\.json: "):
        curator.Tokenize(str(tmp_path / "x.json"))
    (tmp_path / "y.json").write_text(train(["some text"], 300))
    with pytest.raises(ModelError, match="it has no '<end>'"):
        curator.Tokenize(str(tmp_path / "y.json"), end_of_document="<end>")


def test_keys_are_hashes_of_ids_alone():
    ids = ["a", "", "ü", "doc-1", "a"]
    frame = frames.from_arrow(pa.table({"id": pa.array(ids, pa.large_string())}))
    for seed in (0, 7):
        wanted = [xxhash.xxh3_64_intdigest(id.encode(), seed) for id in ids]
        assert keys_of(frame, seed)["key"].tolist() == wanted
        assert keys_of(frame.iloc[2:], seed)["key"].tolist() == wanted[2:]


@pytest.mark.parametrize("train_mb", [0, 100])
def test_training_in_a_run_does_not_depend_on_how_documents_are_cut_into_files(tmp_path, train_mb):
    found = set()
    for parts in (1, 3):
        glob = write_parts(tmp_path / f"in-{parts}", documents(40), parts)
        stages = [
            curator.ReadJsonl(glob),
            curator.Tokenize(vocab_size=350, train_mb=train_mb),
            curator.Pack(seq_length=64),
        ]
        Pipeline(stages).run(str(tmp_path / f"run-{parts}"), workers=0)
        found.add((tmp_path / f"run-{parts}/tokens/tokenizer.json").read_text())
    assert len(found) == 1
    everything = train([record["text"] for record in documents(40)], 350)
    assert (found == {everything}) == (train_mb == 100)


def test_a_given_tokenizer_is_the_one_that_is_used(tmp_path, path):
    glob = write_parts(tmp_path / "in", documents(10), 1)
    Pipeline([curator.ReadJsonl(glob), curator.Tokenize(path), curator.Pack(seq_length=64)]).run(
        str(tmp_path / "run"), workers=0
    )
    given = load(path).to_str()
    assert load(str(tmp_path / "run/tokens/tokenizer.json")).to_str() == given
    assert np.fromfile(tmp_path / "run/tokens/shard-00000.bin", np.uint16).max() < 600
