"""What can be named as a model to export, and what is refused before anything is read or written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from align.config import Peft
from pretrain.config import Model
from pretrain.hf.config import read_config
from serve.errors import ExportError, ModelFolderError
from serve.export.export import export
from serve.export.hf import HuggingFace
from serve.export.opening import open_source
from tests.serve.export import models, runs


@pytest.fixture
def folder(llama, tmp_path):
    """Return a copy of a Llama's folder, to be spoilt."""
    return Path(shutil.copytree(llama, tmp_path / "model"))


def change(folder: Path, **fields: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def whole(source) -> dict[str, torch.Tensor]:
    return {name: source.part(name).clone() for name in source.shapes}


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelFolderError, match="does not exist"):
        open_source(str(tmp_path / "none"))
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ModelFolderError, match=r"is no model: .* it holds notes\.txt"):
        open_source(str(tmp_path))
    (tmp_path / "config.json").write_text("{not json")
    with pytest.raises(ModelFolderError, match="is not a JSON file"):
        open_source(str(tmp_path))


def test_an_unknown_architecture_is_refused_with_the_known_ones(folder):
    change(folder, model_type="lama")
    with pytest.raises(ModelFolderError, match=r"model_type is 'lama'; known: llama, .*Did you mean llama\?"):
        open_source(str(folder))


def test_another_head_is_refused(folder):
    change(folder, architectures=["LlamaForTokenClassification"])
    with pytest.raises(ModelFolderError, match="architectures is 'LlamaForTokenClassification'"):
        open_source(str(folder))


def test_missing_tensors_are_named(folder):
    held = models.tensors(folder)
    del held["model.layers.1.mlp.up_proj.weight"]
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelFolderError, match=r"lacks 1 of 21 tensors, the first is model\.layers\.1\.mlp\.up_proj"):
        open_source(str(folder))


def test_shapes_that_lie_are_named(folder):
    change(folder, intermediate_size=96)
    with pytest.raises(
        ModelFolderError, match=r"gate_proj\.weight has the shape \(128, 64\); its model needs \(96, 64\)"
    ):
        open_source(str(folder))


@pytest.mark.parametrize("how", ["config.json", "hf_quant_config.json", "weights"])
def test_a_quantised_model_is_refused_however_it_says_so(folder, how):
    if how == "config.json":
        change(folder, quantization_config={"quant_method": "modelopt"})
    elif how == "hf_quant_config.json":
        (folder / how).write_text("{}")
    else:
        held = models.tensors(folder)
        name = "model.layers.0.mlp.up_proj.weight"
        save_file(held | {name: held[name].to(torch.float8_e4m3fn)}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ExportError, match="quantised"):
        open_source(str(folder))


def test_a_damaged_file_is_refused(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelFolderError, match="is damaged"):
        open_source(str(folder))


def test_a_run_is_taken_from_its_hf_folder(folder, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text(json.dumps({"kind": "pretrain"}))
    folder.rename(run / "hf")
    assert open_source(str(run)).run == open_source(str(run / "hf")).run == str(run)
    assert open_source(str(run)).folder == str(run / "hf")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mixtral"])
def test_a_checkpoint_gives_the_tensors_it_was_made_of(kind, tmp_path):
    folder = models.save(tmp_path / "model", kind, **(models.MIXTRAL if kind == "mixtral" else {}))
    at = runs.pretrained(tmp_path / "run", folder, read_config(folder))
    expected = whole(open_source(folder))
    for named in (tmp_path / "run", tmp_path / "run" / "checkpoints", at):
        source = open_source(str(named))
        assert source.run == str(tmp_path / "run")
        found = whole(source)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    name = next(iter(expected))
    assert torch.equal(source.part(name, (3, 9), (0, 5)), expected[name][3:9, :5])


def test_a_checkpoint_is_exported_with_the_tokenizer_of_its_shards(llama, tmp_path):
    runs.pretrained(tmp_path / "run", llama, read_config(llama))
    made = export(open_source(str(tmp_path / "run")), HuggingFace(), str(tmp_path / "out"))
    assert made.verdict.cosine == pytest.approx(1)
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (
        tmp_path / "shards/tokens/tokenizer.json"
    ).read_bytes()
    card = (tmp_path / "out" / "README.md").read_text()
    for fact in ("| steps | 20 |", "| tokens learnt | 10,240 |", "| last loss (nats) | 4.25 |",
                 "| validation loss (nats) | 4.5 |", f"manifest SHA-256 {'ab' * 32}", "torch 2.13.0"):  # fmt: skip
        assert fact in card


def test_adapters_of_a_checkpoint_are_merged(llama, tmp_path):
    layer, generator = "model.layers.1.self_attn.v_proj", torch.Generator().manual_seed(0)
    base = open_source(llama)
    rows, columns = base.shapes[f"{layer}.weight"]
    a, b = torch.randn(4, columns, generator=generator), torch.randn(rows, 4, generator=generator)
    tensors = {f"adapters.{layer}.lora_A": a, f"adapters.{layer}.lora_B": b}
    at = runs.aligned(tmp_path / "run", llama, "dpo", tensors, Peft(rank=4, alpha=8.0))
    source = open_source(str(at))
    expected = base.part(f"{layer}.weight").float() + 2 * (b @ a)
    assert torch.allclose(source.part(f"{layer}.weight"), expected, atol=1e-6)
    other = "model.layers.0.self_attn.v_proj.weight"
    assert torch.equal(source.part(other), base.part(other).float())
    export(source, HuggingFace(), str(tmp_path / "out"))
    card = (tmp_path / "out" / "README.md").read_text()
    for fact in (
        "| method | dpo |",
        "| last reward | 1.25 |",
        "| adapters | lora, merged, rank 4 |",
        f"| base model | {llama} (abc) |",
    ):
        assert fact in card


def test_a_reward_models_checkpoint_has_its_head(llama, tmp_path):
    model, head = read_config(llama), torch.randn(1, 64)
    tensors = runs.megatron(llama, model, 1) | {"output_layer.weight": head}
    source = open_source(str(runs.aligned(tmp_path / "run", llama, "reward_model", tensors)))
    assert source.outputs == 1
    assert torch.equal(source.part("score.weight"), head)
    export(source, HuggingFace(), str(tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    assert told["architectures"] == ["LlamaForSequenceClassification"]
    assert open_source(str(tmp_path / "out")).outputs == 1


def test_a_checkpoint_of_ranks_states_is_refused(llama, tmp_path):
    at = runs.aligned(tmp_path / "run", llama, "sft", {"x": torch.zeros(2)})
    (at / "actor" / ".metadata").unlink()
    runs.finish(at, {})
    with pytest.raises(ExportError, match="written by the backend hf"):
        open_source(str(at))


def test_a_checkpoint_that_is_not_whole_is_refused(llama, tmp_path):
    at = runs.pretrained(tmp_path / "run", llama, read_config(llama))
    file = next(at.glob("*.distcp"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelFolderError, match=r"is not whole: .*distcp is damaged"):
        open_source(str(at))
    (at / "checkpoint.json").unlink()
    with pytest.raises(ModelFolderError, match="half-written"):
        open_source(str(at))


def test_another_models_checkpoint_is_refused(llama, tmp_path):
    runs.pretrained(tmp_path / "run", llama, read_config(llama))
    told = json.loads((tmp_path / "run" / "run.json").read_text())
    told["config"]["model"]["layers"] = 3
    (tmp_path / "run" / "run.json").write_text(json.dumps(told))
    with pytest.raises(ModelFolderError, match=r"has no decoder\.layers\.2\."):
        open_source(str(tmp_path / "run"))


def test_a_checkpoint_of_no_run_is_refused(llama, tmp_path):
    model: Model = read_config(llama)
    at = runs.checkpoint(tmp_path / "step-00000001", runs.megatron(llama, model), {})
    with pytest.raises(ModelFolderError, match=r"is of no run: .*run\.json"):
        open_source(str(at))
