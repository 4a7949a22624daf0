"""FP8 with fixed scales: what modelopt 0.47.0 writes of the same model and text, name by name and byte by byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from serve.errors import ExportError, ModelFolderError, ServeSettingsError
from serve.export.calibration import sequences
from serve.export.export import export
from serve.export.formats import format_named
from serve.export.opening import open_source
from tests.serve.export import models
from tests.serve.export.golden import modelopt_values as golden

CASES = [case for case in golden.CASES if case.startswith("fp8")]


def written(case, folder):
    """Export a case's model; return (model's folder, text, the export)."""
    family, _, cache = golden.CASES[case]
    model, text = golden.model(folder / "model", family), golden.text(folder)
    settings = [f"calibrate={text}", "min_cosine=0.5", *(["kv_cache=fp8"] if cache else [])]
    return model, text, export(open_source(model), format_named("fp8", settings), str(folder / "out"))


def assert_same(ours, theirs):
    assert ours["hf_quant_config"] == theirs["hf_quant_config"]
    assert ours["quantization_config"] == theirs["quantization_config"]
    assert ours["tensors"].keys() == theirs["tensors"].keys()
    for name, (kind, shape, value) in theirs["tensors"].items():
        assert ours["tensors"][name][:2] == [kind, shape], name
        measured = name.endswith(("input_scale", "k_scale", "v_scale")) and value is not None
        near = pytest.approx(value, rel=0.02) if measured else value
        assert ours["tensors"][name][2] == near, name


@pytest.mark.parametrize("case", CASES)
def test_against_frozen_values_of_modelopt(case, tmp_path):
    written(case, tmp_path)
    assert_same(golden.read(tmp_path / "out"), json.loads(golden.FROZEN.read_text())[case])


@pytest.mark.peer
@pytest.mark.parametrize("case", CASES)
def test_against_modelopt(case, tmp_path):
    pytest.importorskip("modelopt", reason="nvidia-modelopt is not installed")
    model, text, _ = written(case, tmp_path)
    theirs = golden.computed(case, model, sequences(model, text, 8, 64))
    ours = golden.read(tmp_path / "out")
    assert_same(ours, theirs)
    assert ours["tensors"] == theirs["tensors"]  # on one machine inputs are the same too


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return (folder with the model and its export, what the export came to)."""
    folder = tmp_path_factory.mktemp("fp8")
    return folder, written("fp8-llama", folder)[2]


def test_the_verdict_says_how_near_it_is(made):
    verdict = made[1].verdict
    assert 0.9 < verdict.cosine < 1
    assert 0.02 < verdict.worst < 0.03  # 2.6 %, what E4M3 costs
    assert 0 < verdict.scales[0] < verdict.scales[1] < 0.01
    assert made[1].calibration_seconds > 0


def test_the_configuration_has_both_spellings_and_the_tokenizer_comes_along(made):
    told = json.loads((made[0] / "out" / "config.json").read_text())
    assert told["rope_theta"] == told["rope_parameters"]["rope_theta"] == 500_000.0
    assert told["architectures"] == ["LlamaForCausalLM"]
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (made[0] / "out" / name).exists(), name


def test_what_was_written_is_not_quantised_again(made):
    with pytest.raises(ExportError, match="quantised already, by modelopt"):
        open_source(str(made[0] / "out"))


def test_our_own_loaders_refuse_it(made):
    from align.backends.hf.model import open_model
    from align.backends.settings import PolicySettings
    from align.errors import ModelError
    from pretrain.errors import WeightsError
    from pretrain.hf.config import read_config

    folder = str(made[0] / "out")
    with pytest.raises(WeightsError, match="quantization_config"):
        read_config(folder)
    with pytest.raises(ModelError, match="quantised by modelopt"):
        open_model(PolicySettings(start_from=folder), torch.float32, torch.device("cpu"), True)


@pytest.mark.parametrize("ending", ["weight_scale", "input_scale"])
def test_a_wrong_scale_leaves_no_folder(ending, made, tmp_path, monkeypatch):
    from serve.export import fp8_static

    source = open_source(str(made[0] / "model"))
    target = format_named("fp8", [f"calibrate={made[0] / 'text.jsonl'}"])
    honest = type(target).write

    def broken(self, source, folder):
        seconds = honest(self, source, folder)
        held = models.tensors(folder)
        for name in held:
            if name.endswith(ending):
                held[name] = held[name] / 64
        save_file(held, f"{folder}/model.safetensors", {"format": "pt"})
        return seconds

    monkeypatch.setattr(fp8_static.Fp8, "write", broken)
    with pytest.raises(ExportError, match="differs by" if ending == "weight_scale" else "cosine of its logits"):
        export(source, target, str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_the_bytes_that_are_written(made):
    target = format_named("fp8", [f"calibrate={made[0] / 'text.jsonl'}", "kv_cache=fp8"])
    planned = target.plan(open_source(str(made[0] / "model")))
    held = models.tensors(made[0] / "out").values()
    assert planned == {"model.safetensors": sum(one.numel() * one.element_size() for one in held)}


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("samples=4", r"scales that are measured on text: --set calibrate=FILE.*fp8-dynamic needs none"),
        ("calibrate=nowhere.jsonl", "nowhere.jsonl"),
    ],
)
def test_without_text_it_is_refused_before_anything_is_read(setting, said, made, tmp_path):
    with pytest.raises(ServeSettingsError, match=said):
        export(open_source(str(made[0] / "model")), format_named("fp8", [setting]), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_settings_that_cannot_be_are_refused():
    for setting, said in (
        ("samples=0", "samples is 0"),
        ("min_cosine=2", "from 0 to 1"),
        ("tokens=-1", "tokens is -1"),
    ):
        with pytest.raises(ServeSettingsError, match=said):
            format_named("fp8", [setting])


def test_models_the_layout_cannot_hold_are_refused(scoring, tmp_path):
    target = format_named("fp8", [f"calibrate={Path(__file__)}"])
    with pytest.raises(ExportError, match="scores sequences"):
        target.refuse(open_source(scoring))
    with pytest.raises(ExportError, match="is a gpt2 model"):
        target.refuse(open_source(models.save(tmp_path / "gpt2", "gpt2")))
    with pytest.raises(ModelFolderError):
        open_source(str(tmp_path))
