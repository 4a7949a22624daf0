"""The hf format: the same numbers, in files that readers old and new understand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file

from millrace.errors import ConfigError
from serve.errors import ExportError
from serve.export.export import export
from serve.export.formats import format_named
from serve.export.hf import HuggingFace
from serve.export.opening import open_source
from serve.export.selftest import probe
from tests.serve.export import models


@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mixtral", "gpt2"])
def test_every_family_comes_back_bit_by_bit(kind, tmp_path):
    more = models.MIXTRAL if kind == "mixtral" else {"head_dim": 16} if kind == "qwen3" else {}
    source = open_source(models.save(tmp_path / "model", kind, **more))
    made = export(source, HuggingFace(shard_bytes=100_000), str(tmp_path / "out"))
    before, after = models.tensors(tmp_path / "model"), models.tensors(tmp_path / "out")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert made.verdict.worst == 0
    assert made.verdict.cosine == pytest.approx(1)
    assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 1
    tokens = probe(source)
    assert torch.equal(models.answer(tmp_path / "out", tokens), models.answer(tmp_path / "model", tokens))


def test_the_configuration_is_in_both_spellings(tmp_path):
    rope = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64, "rope_theta": 500.0}  # fmt: skip
    source = open_source(models.save(tmp_path / "model", rope_parameters=rope))
    assert "rope_theta" not in json.loads((tmp_path / "model" / "config.json").read_text())  # transformers 5 alone
    export(source, HuggingFace(dtype="bfloat16"), str(tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    assert told["rope_theta"] == 500.0
    assert told["rope_scaling"] == {name: value for name, value in rope.items() if name != "rope_theta"}
    assert told["rope_parameters"] == rope
    assert told["dtype"] == told["torch_dtype"] == "bfloat16"
    assert transformers.AutoConfig.from_pretrained(tmp_path / "out").rope_parameters == rope


def test_a_cast_rounds_every_number_and_is_tested(tmp_path):
    source = open_source(models.save(tmp_path / "model"))
    made = export(source, HuggingFace(dtype="bfloat16"), str(tmp_path / "out"))
    before, after = models.tensors(tmp_path / "model"), models.tensors(tmp_path / "out")
    assert all(torch.equal(before[name].bfloat16(), after[name]) for name in before)
    assert 0 < made.verdict.worst < 2**-8
    assert 0.999 < made.verdict.cosine < 1


def test_tokenizer_template_and_generation_config_come_along(llama, tmp_path):
    export(open_source(llama), HuggingFace(), str(tmp_path / "out"))
    before, after = (transformers.AutoTokenizer.from_pretrained(folder) for folder in (llama, tmp_path / "out"))
    said = [{"role": "user", "content": "the quick brown fox"}]
    assert before.apply_chat_template(said, tokenize=False) == after.apply_chat_template(said, tokenize=False)
    ends = transformers.GenerationConfig.from_pretrained(tmp_path / "out").eos_token_id
    assert ends == before.eos_token_id


def test_a_reward_model_keeps_its_head(scoring, tmp_path):
    export(open_source(scoring), HuggingFace(), str(tmp_path / "out"))
    tokens = torch.arange(12)[None]
    assert torch.equal(models.answer(tmp_path / "out", tokens, True), models.answer(scoring, tokens, True))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("dtype=int8", "dtype is 'int8'; hf is written in float32, bfloat16, float16"),
        ("shard_bytes=0", "at least 1"),
        ("shards=1", r"no field shards.*Did you mean shard_bytes\?"),
        ("dtype", "write field=value"),
        ("shard_bytes=many", "must be int"),
    ],
)
def test_settings_that_cannot_be_are_refused(setting, said):
    with pytest.raises(ConfigError, match=said):
        format_named("hf", [setting])


@dataclasses.dataclass(frozen=True)
class Broken(HuggingFace):
    """The format with a mistake: one tensor's rows are written in another order."""

    def write(self, source, folder):
        found = super().write(source, folder)
        held = models.tensors(folder)
        name = next(name for name in held if name.endswith("q_proj.weight"))
        held[name] = held[name].flip(0).contiguous()
        save_file(held, f"{folder}/model.safetensors", {"format": "pt"})
        return found


def test_wrong_numbers_leave_no_folder(llama, tmp_path):
    with pytest.raises(ExportError, match=r"q_proj\.weight differs by"):
        export(open_source(llama), Broken(), str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@dataclasses.dataclass(frozen=True)
class Forgetful(HuggingFace):
    """The format with another mistake: config.json lacks what rotary positions turn on."""

    def write(self, source, folder):
        found = super().write(source, folder)
        path = Path(folder) / "config.json"
        told = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in told.items() if not name.startswith("rope_")}))
        return found


def test_a_forgotten_setting_leaves_no_folder(tmp_path):
    source = open_source(models.save(tmp_path / "model", rope_parameters={"rope_type": "default", "rope_theta": 100.0}))
    with pytest.raises(ExportError, match="cosine of its logits"):
        export(source, Forgetful(), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
