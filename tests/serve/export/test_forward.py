"""Logits of streamed weights are those of the whole model."""

from __future__ import annotations

import pytest
import torch

from serve.errors import ExportError
from serve.export.forward import logits
from serve.export.opening import open_source
from serve.export.selftest import probe
from tests.serve.export import models

KINDS = {
    "llama": {}, "qwen2": {"tie_word_embeddings": True}, "qwen3": {"head_dim": 16}, "mixtral": models.MIXTRAL,
    "gpt2": {},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_against_the_whole_model_in_transformers(kind, tmp_path):
    source = open_source(models.save(tmp_path / kind, kind, **KINDS[kind]))
    tokens = probe(source)
    found = logits(source.config, source.part, tokens)
    assert torch.allclose(found, models.answer(source.folder, tokens), atol=2e-5)
    assert found.shape == (*tokens.shape, source.model.vocab_size)


def test_scores_are_those_of_every_position(scoring):
    source = open_source(scoring)
    tokens = probe(source)
    assert source.outputs == 2
    found = logits(source.config, source.part, tokens, source.outputs)
    assert torch.allclose(found, models.answer(scoring, tokens, scores=True), atol=1e-5)


def test_weights_are_asked_for_once_each_and_let_go(llama):
    source, asked = open_source(llama), []

    def read(name):
        asked.append(name)
        return source.part(name)

    logits(source.config, read, probe(source))
    assert sorted(asked) == sorted(source.shapes)


def test_a_configuration_transformers_cannot_make_is_refused(llama):
    source = open_source(llama)
    with pytest.raises(ExportError, match="cannot make a model"):
        logits({**source.config, "num_attention_heads": 0}, source.part, probe(source))
