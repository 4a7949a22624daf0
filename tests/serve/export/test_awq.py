"""INT4 AWQ: the layout of modelopt 0.47.0 and, where it is installed, its numbers."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from serve.errors import ExportError, ServeSettingsError
from serve.export.dequantised import unpacked
from serve.export.export import export
from serve.export.formats import format_named
from serve.export.opening import open_source
from tests.serve.export import models
from tests.serve.export.golden import modelopt_values as golden
from tests.serve.export.test_fp8_static import assert_same


def frozen(case):
    return json.loads(golden.FROZEN.read_text())[case]


def target(case, text):
    return format_named(case.partition("-")[0], [f"calibrate={text}", "samples=8", "tokens=64", "min_cosine=0.5"])


@pytest.mark.parametrize("case", [case for case in golden.CASES if case.startswith(("awq", "int8"))])
def test_the_layout_is_modelopts(case, tmp_path):
    source = open_source(golden.model(tmp_path / "model", golden.CASES[case][0]))
    shapes, dtypes = target(case, "any.jsonl").layout(source)
    ours = {name: [dtypes[name], list(shape)] for name, shape in shapes.items() if ".layers.1." not in name}
    assert ours == {name: value[:2] for name, value in frozen(case)["tensors"].items()}


@pytest.mark.peer
@pytest.mark.parametrize("case", [case for case in golden.CASES if case.startswith(("awq", "int8"))])
def test_against_frozen_values_of_modelopt(case, tmp_path):
    """The export is modelopt's own, so this finds out where another version, or what we do around it, changes it."""
    pytest.importorskip("modelopt", reason="nvidia-modelopt is not installed")
    source = open_source(golden.model(tmp_path / "model", golden.CASES[case][0]))
    made = export(source, target(case, golden.text(tmp_path)), str(tmp_path / "out"))
    ours, theirs = golden.read(tmp_path / "out"), frozen(case)
    if case.startswith("int8"):  # smoothed by inputs, which differ a little by machine
        for one in (ours, theirs):
            one["tensors"] = {name: [*value[:2], None] for name, value in one["tensors"].items()}
    assert_same(ours, theirs)
    assert made.verdict.cosine > 0.9
    assert 0.05 < made.verdict.worst < 0.2 if case.startswith("awq") else made.verdict.worst < 0.05
    told = json.loads((tmp_path / "out" / "config.json").read_text())
    assert told["rope_theta"] == told["rope_parameters"]["rope_theta"] == 500_000.0
    assert (tmp_path / "out" / "chat_template.jinja").exists()
    if case == "awq-llama":
        _a_factor_that_is_lost_is_found(source, target(case, tmp_path / "text.jsonl"), tmp_path / "out")


def _a_factor_that_is_lost_is_found(source, target, folder):
    """Double what AWQ folds into a norm and not what it takes out of the layers behind: only the numbers tell."""
    held = models.tensors(folder)
    held["model.layers.0.input_layernorm.weight"] *= 2
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ExportError, match="differs by"):
        target.test(source, str(folder))


def test_int4_is_unpacked_as_modelopt_packs_it():
    # pack_int4_in_uint8 of modelopt 0.47.0 for the rows [1, -8], [-1, 7], [0, 3], [5, -3] of scale 1
    packed = torch.tensor([[241, 120], [80, 211]], dtype=torch.uint8)
    assert unpacked(packed).tolist() == [[1, -8], [-1, 7], [0, 3], [5, -3]]


def test_a_group_that_does_not_divide_a_layer_is_refused(llama):
    with pytest.raises(ServeSettingsError, match=r"group is 128, but .*q_proj\.weight is 64 x 64.*multiple of group"):
        format_named("awq", [f"calibrate={__file__}"]).refuse(open_source(llama))


@pytest.mark.parametrize("name", ["awq", "int8"])
def test_without_modelopt_the_extra_is_named(name, tmp_path, monkeypatch):
    from serve.export import modelopt

    monkeypatch.setattr(modelopt, "find_spec", lambda _: None)
    source = open_source(golden.model(tmp_path / "model", "llama"))
    with pytest.raises(ServeSettingsError, match=r"nvidia-modelopt 0\.47\.0.*pip install 'millrace\[quantize\]'"):
        format_named(name, [f"calibrate={__file__}"]).refuse(source)


@pytest.mark.parametrize("name", ["awq", "int8"])
def test_without_text_it_is_refused(name, tmp_path):
    source = open_source(golden.model(tmp_path / "model", "llama"))
    with pytest.raises(ServeSettingsError, match="measured on text"):
        format_named(name).refuse(source)


def test_experts_are_refused_for_what_modelopt_cannot_write(tmp_path):
    source = open_source(models.save(tmp_path / "mixtral", "mixtral", **models.MIXTRAL))
    with pytest.raises(ExportError, match=r"has experts.*fp8 and int8 take it"):
        format_named("awq", [f"calibrate={__file__}"]).refuse(source)
