"""Embeddings by a model on files: against numpy on a model whose every number is known."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline, fingerprint
from curator.dedup import embed
from curator.errors import ModelError
from tests.corpus import write_parts
from tests.curator.dedup.onnx_model import encoder, write_model

pytest.importorskip("onnxruntime", reason="onnxruntime is absent; the dev extra installs it")

WORDS = "a river runs through the valley and not over hills".split()
TABLE = np.random.default_rng(3).normal(size=(len(WORDS) + 1, 12)).astype(np.float32)


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model", WORDS, TABLE)


def rows(text):
    return TABLE[[WORDS.index(word) + 1 if word in WORDS else 0 for word in text.split()]]


TEXTS = ["a river runs", "hills", "unknown valley and river", " ".join(WORDS * 5)]


def test_mean_of_the_tokens_against_numpy(model):
    found = embed.embed(pa.array(TEXTS), model, 256).to_pylist()
    for text, vector in zip(TEXTS, found):
        assert vector == pytest.approx(rows(text).mean(axis=0).tolist(), abs=1e-6)


def test_the_first_token_where_the_folder_says_cls(model):
    config = Path(model, "1_Pooling", "config.json")
    config.parent.mkdir()
    config.write_text(json.dumps({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}))
    assert embed.embed(pa.array(TEXTS), model, 256).to_pylist() == [rows(text)[0].tolist() for text in TEXTS]


def test_only_the_first_tokens_count(model):
    cut = embed.embed(pa.array(["river runs over hills"]), model, 2)
    assert cut.equals(embed.embed(pa.array(["river runs"]), model, 256))


def test_text_of_no_tokens_has_no_embedding(model):
    assert embed.embed(pa.array([None, "", "  ", "hills"]), model, 256).is_valid().to_pylist() == [False] * 3 + [True]


@pytest.mark.parametrize("place", ["model.onnx", "onnx/model.onnx"])
def test_a_folder_or_its_onnx_file_may_be_named(tmp_path, place):
    folder = write_model(tmp_path / "m", WORDS, TABLE, place)
    whole = embed.embed(pa.array(TEXTS), folder, 256)
    assert embed.embed(pa.array(TEXTS), f"{folder}/{place}", 256).equals(whole)


def test_a_run_removes_what_means_the_same(tmp_path, model):
    texts = ["a river runs through the valley", "through the valley runs a river", "hills and not valley", "", ""]
    glob = write_parts(tmp_path / "in", [{"id": str(i), "text": text} for i, text in enumerate(texts)], 2)
    stages = [curator.ReadJsonl(glob), curator.SemanticDedup(model=model, keep="first")]
    for name, options in (("one", {"workers": 0}), ("two", {"workers": 2, "batch_mb": 0.00001})):
        Pipeline(stages).run(str(tmp_path / name), **options)
    ledger = [row for f in sorted((tmp_path / "one/ledger").iterdir()) for row in pq.read_table(f).to_pylist()]
    assert [(row["id"], row["witness"]) for row in ledger] == [("1", 0)]  # an empty text has no embedding
    for file in sorted((tmp_path / "one").glob("*/*.parquet")):
        assert file.read_bytes() == (tmp_path / "two" / file.relative_to(tmp_path / "one")).read_bytes()


@pytest.mark.parametrize("changed", ["onnx/model.onnx", "tokenizer.json", "1_Pooling/config.json"])
def test_other_content_of_a_file_is_another_fingerprint(tmp_path, model, changed):
    stage = curator.SemanticDedup(model=model)
    before = (fingerprint.of_stage(stage), fingerprint.of_sketch(stage))
    path = Path(model, changed)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(path.read_bytes() + b" " if path.exists() else b"{}")
    after = (fingerprint.of_stage(stage), fingerprint.of_sketch(stage))
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_the_place_of_a_model_is_no_part_of_the_fingerprint(tmp_path, model):
    elsewhere = write_model(tmp_path / "elsewhere", WORDS, TABLE)
    stages = [curator.SemanticDedup(model=place) for place in (model, elsewhere)]
    assert fingerprint.of_sketch(stages[0]) == fingerprint.of_sketch(stages[1])


def test_what_is_missing_is_named_before_anything_is_read(tmp_path, model, monkeypatch):
    with pytest.raises(ModelError, match=r"nowhere holds no model: no file .*nowhere/model.onnx or .*onnx/model.onnx"):
        curator.SemanticDedup(model=str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="is no local path"):
        curator.SemanticDedup(model="s3://bucket/model")
    Path(model, "tokenizer.json").rename(tmp_path / "tokenizer.json")
    with pytest.raises(ModelError, match=r"holds no tokenizer: no file .*tokenizer.json"):
        curator.SemanticDedup(model=model)
    (tmp_path / "tokenizer.json").rename(Path(model, "tokenizer.json"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs onnxruntime; pip install 'millrace\[semantic\]'"):
        curator.SemanticDedup(model=model)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("onnx/model.onnx", b"no model", "model.onnx is not a model that ONNX Runtime loads: "),
        ("onnx/model.onnx", encoder(TABLE, ("pixels",)), "takes pixels; expected input_ids and at most"),
        ("tokenizer.json", b"{}", "tokenizer.json is not a tokenizer.json: "),
        ("1_Pooling/config.json", b"[", "is not the JSON that describes a pooling"),
        ("1_Pooling/config.json", b'{"pooling_mode_max_tokens": true}', "pools by pooling_mode_max_tokens; known is"),
    ],
)
def test_a_file_that_is_something_else_is_named(model, name, content, said):
    path = Path(model, name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ModelError, match=said) as caught:
        embed.embed(pa.array(TEXTS), model, 256)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_model_is_named(model):
    Path(model, "onnx/model.onnx").write_bytes(encoder(TABLE[:3]))
    with pytest.raises(ModelError, match=r"model.onnx fails on a text of 1 tokens: .*indices") as caught:
        embed.embed(pa.array(["hills"]), model, 256)
    assert "\n" not in str(caught.value)
