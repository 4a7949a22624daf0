"""ModelScore: against numpy on a model whose every number is known, and against transformers where it is installed."""

from __future__ import annotations

import importlib.util
import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curator import ModelScore, fingerprint, frames
from curator.errors import ModelError, SpecError
from curator.filter.sequence_classifier import passes
from tests.curator.filter.classifier_model import LABELS, TABLE, classifier, write_model, write_tokenizer

pytest.importorskip("onnxruntime", reason="onnxruntime is absent; the dev extra installs it")

WORDS = "a river runs through the valley and not over hills".split()
TEXTS = ["a river runs", "hills", "unknown valley and river", " ".join(WORDS * 20), "not over the hills " * 9]


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model", WORDS)


def frame_of(texts):
    frame = frames.from_arrow(pa.table({"text": pa.array(texts, pa.large_string())}))
    frame.index = range(7, 7 + len(texts))
    return frame


def logits(text, most=512):
    words = text.split()[:most]
    return TABLE[[WORDS.index(word) + 1 if word in WORDS else 0 for word in words]].astype(np.float64).mean(axis=0)


def softmax(values):
    return np.exp(values) / np.exp(values).sum()


def measured(stage, texts=TEXTS):
    made = frames.to_arrow(stage.measure(frame_of(texts)))
    return made[f"{stage.name}_score"].to_pylist(), made[f"{stage.name}_label"].to_pylist()


@pytest.mark.parametrize("batch_tokens", [None, 1, 130, 4096])
def test_probability_of_a_label_and_the_likeliest_against_numpy(model, batch_tokens):
    for label in LABELS:
        scores, labels = measured(ModelScore(model, label=label, name="web", batch_tokens=batch_tokens))
        expected = [softmax(logits(text)) for text in TEXTS]
        assert scores == pytest.approx([p[LABELS.index(label)] for p in expected], abs=1e-6)
        assert labels == [LABELS[p.argmax()] for p in expected]
    scores, labels = measured(ModelScore(model, batch_tokens=batch_tokens))
    assert scores == pytest.approx([p.max() for p in expected], abs=1e-6)
    assert len(set(labels)) > 1


def test_a_model_of_one_output_is_a_regression(tmp_path):
    folder = write_model(tmp_path / "edu", WORDS, TABLE[:, :1] * 3, ("LABEL_0",))
    scores, labels = measured(ModelScore(folder))
    assert scores == pytest.approx([float(logits(text)[0]) * 3 for text in TEXTS], abs=1e-5)
    assert labels == [None] * len(TEXTS)
    with pytest.raises(ModelError, match="is a regression, without labels; leave out"):
        ModelScore(folder, keep=("good",)).check("")


def test_labels_that_do_not_exclude_each_other_have_a_sigmoid_each(tmp_path):
    folder = write_model(tmp_path / "multi", WORDS, problem_type="multi_label_classification")
    scores, _ = measured(ModelScore(folder, label="poor"))
    assert scores == pytest.approx([1 / (1 + np.exp(-logits(text)[2])) for text in TEXTS], abs=1e-6)


def test_only_the_first_tokens_and_characters_count(model):
    whole, cut = measured(ModelScore(model), ["river runs"]), ["river runs over hills"]
    assert measured(ModelScore(model, max_tokens=2), cut) == whole
    assert measured(ModelScore(model, max_characters=10), cut) == whole
    assert measured(ModelScore(model), cut) != whole


def test_missing_and_blank_text_is_not_scored(model):
    stage = ModelScore(model, min_score=2.0, keep=("good",))
    made = stage.measure(frame_of([None, "", " \n", "hills"]))
    assert made.isna().to_numpy().tolist() == [[True, True]] * 3 + [[False, False]]
    assert made.index.tolist() == [7, 8, 9, 10]
    assert {k: m.fillna(False).tolist() for k, m in stage.reject(made).items()}["low_score"] == [False] * 3 + [True]


@pytest.mark.parametrize("batch_tokens", [None, 200, 5000])
def test_neighbours_change_no_bit(model, batch_tokens):
    rng = random.Random(4)
    texts = [" ".join(rng.choices([*WORDS, "other"], k=rng.randrange(1, 200))) for _ in range(60)]
    stage = ModelScore(model, batch_tokens=batch_tokens)
    together = measured(stage, texts)
    order = rng.sample(range(60), 60)
    assert measured(stage, [texts[i] for i in order]) == tuple([column[i] for i in order] for column in together)
    alone = [measured(stage, [text]) for text in texts]
    assert ([a[0][0] for a in alone], [a[1][0] for a in alone]) == together


def test_passes_hold_texts_of_one_length_and_at_most_so_many_tokens():
    rng = random.Random(1)
    lengths = [rng.choice([0, 1, 63, 64, 65, 500, 512]) for _ in range(200)]
    found = passes(lengths, 512, 1024)
    assert sorted(place for places, _, _ in found for place in places) == [i for i, n in enumerate(lengths) if n]
    for places, length, height in found:
        assert len(places) <= height
        assert length * height <= 1024
        assert all(length - 64 < lengths[place] <= length for place in places)
    assert {(length, height) for _, length, height in found} == {(64, 16), (128, 8), (512, 2)}
    assert passes([3, 0, 9], 512, None) == [([0], 3, 1), ([2], 9, 1)]
    assert passes([700, 90], 100, 50) == [([0, 1][:1], 100, 1), ([1], 100, 1)]


def test_rejects_labels_first_and_says_why(model):
    stage = ModelScore(model, label="good", keep=("good", "fair"), min_score=0.4)
    made = stage.measure(frame_of(TEXTS))
    masks = stage.reject(made)
    assert list(masks) == ["label", "low_score"]
    assert masks["label"].tolist() == [label not in ("good", "fair") for label in made["model_label"]]
    assert masks["low_score"].tolist() == [score < 0.4 for score in made["model_score"]]
    assert stage.explain(made, "label")["value_text"].tolist() == made["model_label"].tolist()
    assert stage.explain(made, "low_score")["threshold"] == 0.4
    assert ModelScore(model).reject(made) == {}


def test_a_label_the_model_does_not_have_is_named(model):
    for settings in ({"label": "goood"}, {"keep": ("fair", "goood")}):
        with pytest.raises(ModelError, match=r"no label 'goood'. Did you mean good\? It has 3: good, fair, poor$"):
            ModelScore(model, **settings).check("")


def test_labels_may_be_given(model):
    assert set(measured(ModelScore(model, labels=("x", "y", "z")))[1]) <= {"x", "y", "z"}
    with pytest.raises(ModelError, match="gives 3 numbers a text; its labels are 2"):
        measured(ModelScore(model, labels=("x", "y")))
    Path(model, "config.json").write_text("{}")
    with pytest.raises(ModelError, match="names no labels"):
        ModelScore(model).check("")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.onnx", b"no model", "model.onnx is not a model that ONNX Runtime loads: "),
        ("model.onnx", classifier(TABLE[:2]), "model.onnx fails on texts of "),
        ("tokenizer.json", b"{}", "tokenizer.json is not a tokenizer.json: "),
        ("config.json", b"[1]", "is not the config.json of a model"),
        ("config.json", b'{"id2label": {"a": "b"}}', "is not the config.json of a model"),
    ],
)
def test_a_file_that_is_something_else_is_named(model, name, content, said):
    Path(model, name).write_bytes(content)
    with pytest.raises(ModelError, match=said) as caught:
        measured(ModelScore(model))
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named(tmp_path, model, monkeypatch):
    with pytest.raises(ModelError, match=r"nowhere holds no config: no file .*nowhere/config.json"):
        ModelScore(str(tmp_path / "nowhere")).check("")
    with pytest.raises(ModelError, match="is no local path"):
        ModelScore("s3://bucket/model").check("")
    Path(model, "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"holds no weights: no file .*model.onnx or .*onnx/model.onnx"):
        ModelScore(model).check("")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"by torch needs torch and transformers.*pip install 'millrace\[models\]'"):
        ModelScore(model, backend="torch").check("")


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"device": "cuda"}, "needs backend: torch"), ({"name": "1"}, "name is '1'"), ({"max_tokens": 0}, "at least 1")],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(SpecError, match=said):
        ModelScore("folder", **settings)


@pytest.mark.parametrize("changed", ["model.onnx", "tokenizer.json", "config.json"])
def test_other_content_of_a_file_is_another_fingerprint(model, changed):
    before = fingerprint.of_stage(ModelScore(model))
    Path(model, changed).write_bytes(Path(model, changed).read_bytes() + b" ")
    assert fingerprint.of_stage(ModelScore(model)) != before


# What torch runs: a tiny BERT and a tiny DeBERTa, of random weights.


def write_bert(folder, count, **config):
    import torch
    import transformers

    torch.manual_seed(3)
    settings = transformers.BertConfig(
        vocab_size=len(WORDS) + 1, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=128, num_labels=count, initializer_range=0.6, **config,
    )  # fmt: skip
    made = transformers.BertForSequenceClassification(settings).eval()
    made.save_pretrained(folder)
    write_tokenizer(folder, WORDS)
    return made


def write_deberta(folder):
    """A folder as NeMo Curator's classifiers are laid out: an encoder `model`, a layer `fc` on its first token."""
    import torch
    import transformers
    from safetensors.torch import save_file

    torch.manual_seed(4)
    settings = transformers.DebertaV2Config(
        vocab_size=len(WORDS) + 1, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=128, relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=16,
        initializer_range=0.6, id2label=dict(enumerate(LABELS)),
    )  # fmt: skip
    encoder, head = transformers.DebertaV2Model(settings).eval(), torch.nn.Linear(32, 3)
    folder.mkdir()
    (folder / "config.json").write_text(settings.to_json_string(use_diff=False))
    weights = {f"model.{name}": value for name, value in encoder.state_dict().items()}
    save_file(
        weights | {f"fc.{name}": value for name, value in head.state_dict().items()}, folder / "model.safetensors"
    )
    write_tokenizer(folder, WORDS)
    return encoder, head


def tokens_of(text):
    import torch

    return torch.tensor([[WORDS.index(word) + 1 if word in WORDS else 0 for word in text.split()][:100]])


@pytest.fixture
def transformers():
    pytest.importorskip("torch", reason="torch is absent; the models extra installs it")
    return pytest.importorskip("transformers", reason="transformers is absent; the models extra installs it")


@pytest.mark.parametrize("batch_tokens", [None, 300])
@pytest.mark.parametrize("count", [1, 3])
def test_torch_against_transformers(tmp_path, transformers, count, batch_tokens):
    import torch

    made = write_bert(tmp_path, count)
    stage = ModelScore(str(tmp_path), backend="torch", max_tokens=100, batch_tokens=batch_tokens)
    scores, labels = measured(stage)
    with torch.no_grad():
        expected = [made(tokens_of(text)).logits[0] for text in TEXTS]
    if count == 1:
        assert scores == pytest.approx([float(one) for one in expected], abs=1e-4)
    else:
        assert scores == pytest.approx([float(one.softmax(0).max()) for one in expected], abs=1e-5)
        assert labels == [f"LABEL_{int(one.argmax())}" for one in expected]
    assert len(set(scores)) == len(TEXTS)


@pytest.mark.parametrize("batch_tokens", [None, 300])
def test_an_encoder_with_a_layer_on_its_first_token(tmp_path, transformers, batch_tokens):
    import torch

    encoder, head = write_deberta(tmp_path / "m")
    stage = ModelScore(str(tmp_path / "m"), label="fair", backend="torch", max_tokens=100, batch_tokens=batch_tokens)
    with torch.no_grad():
        expected = [head(encoder(tokens_of(text)).last_hidden_state[:, 0])[0].softmax(0) for text in TEXTS]
    scores, labels = measured(stage)
    assert scores == pytest.approx([float(one[1]) for one in expected], abs=1e-5)
    assert labels == [LABELS[int(one.argmax())] for one in expected]


@pytest.mark.parametrize("batch_tokens", [None, 300, 4000])
@pytest.mark.parametrize("kind", ["bert", "deberta"])
def test_neighbours_change_no_bit_of_torch(tmp_path, transformers, kind, batch_tokens):
    write_bert(tmp_path / "m", 3) if kind == "bert" else write_deberta(tmp_path / "m")
    rng = random.Random(4)
    texts = [" ".join(rng.choices(WORDS, k=rng.randrange(1, 150))) for _ in range(40)]
    stage = ModelScore(str(tmp_path / "m"), backend="torch", max_tokens=100, batch_tokens=batch_tokens)
    together = measured(stage, texts)
    alone = [measured(stage, [text]) for text in texts]
    assert ([a[0][0] for a in alone], [a[1][0] for a in alone]) == together
    assert len(set(together[0])) > 30


def test_weights_that_are_not_there_are_not_made_up(tmp_path, transformers):
    from safetensors.torch import load_file, save_file

    write_bert(tmp_path, 3)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({n: w for n, w in weights.items() if "classifier" not in n}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"lacks weights of a sequence classifier: classifier.bias, classifier.weight"):
        ModelScore(str(tmp_path), backend="torch").check("")
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"model.safetensors is not a model that transformers loads: ") as caught:
        ModelScore(str(tmp_path), backend="torch").check("")
    assert "\n" not in str(caught.value)


def test_a_gpu_that_is_not_there_is_said(tmp_path, transformers):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    write_bert(tmp_path, 3)
    with pytest.raises(ModelError, match="torch finds no GPU; set device: cpu"):
        ModelScore(str(tmp_path), backend="torch", device="cuda").check("")


def test_config_says_what_numbers_mean(tmp_path, transformers):
    write_bert(tmp_path, 3, id2label=dict(enumerate(LABELS)))
    assert json.loads((tmp_path / "config.json").read_text())["id2label"]["1"] == "fair"
    assert set(measured(ModelScore(str(tmp_path), backend="torch", max_tokens=100))[1]) <= set(LABELS)
