"""FP8_DYNAMIC: names, shapes and bytes as compressed-tensors 0.20.1 writes them."""

from __future__ import annotations

import json

import pytest
import torch

from serve.errors import ExportError
from serve.export.export import export
from serve.export.fp8 import dequantise_rows, per_token, quantise_rows
from serve.export.fp8_dynamic import Fp8Dynamic
from serve.export.opening import open_source
from serve.export.selftest import cosine, probe
from tests.serve.export import models

# Computed by compressed-tensors 0.20.1 (calculate_qparams and quantize of FP8_DYNAMIC) for `golden_weight`.
GOLDEN_SCALES = [2.2202730178833008e-06, 0.002227783203125, 0.66015625, 0.0078125, 4.458427429199219e-05]
GOLDEN_BYTES = [
    0,
    126,
    238,
    253,
    118,
    123,
    250,
    249,
    124,
    115,
    254,
    232,
    126,
    228,
    254,
    114,
    124,
    248,
    250,
    123,
    119,
    253,
    240,
    126,
    0,
    128,
    0,
    0,
    128,
    128,
    0,
    0,
    252,
    244,
    125,
    107,
    254,
    95,
    126,
    241,
]


def golden_weight() -> torch.Tensor:
    """Return a weight with small, large, negative and no numbers in a row: bfloat16 (5, 8)."""
    grid = torch.arange(40, dtype=torch.float32).reshape(5, 8)
    weight = torch.sin(grid * 1.7) * torch.tensor([[1e-3], [1.0], [300.0], [0.0], [0.02]])
    return weight.bfloat16()


def test_against_bytes_of_compressed_tensors():
    made, scales = quantise_rows(golden_weight())
    assert scales.float().flatten().tolist() == GOLDEN_SCALES
    assert made.view(torch.uint8).flatten().tolist() == GOLDEN_BYTES


def test_quantised_rows_are_plain_arithmetic_in_bfloat16():
    """Every finite bfloat16, in rows of many sizes, subnormal ones too."""
    every = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16).nan_to_num(0, 0, 0)
    for weight in (
        every.reshape(256, 256),
        every[torch.randperm(1 << 16, generator=torch.Generator().manual_seed(0))].reshape(64, 1024),
    ):
        made, scales = quantise_rows(weight)
        largest = weight.abs().amax(-1, keepdim=True) / 448
        expected = torch.where(largest == 0, torch.finfo(torch.bfloat16).eps, largest).bfloat16()
        assert torch.equal(scales, expected)
        bytes_of = (weight / expected).clamp(-448, 448).to(torch.float8_e4m3fn).view(torch.uint8)
        assert torch.equal(made.view(torch.uint8), bytes_of)


def test_names_types_and_configuration(llama, tmp_path):
    made = export(open_source(llama), Fp8Dynamic(), str(tmp_path / "out"))
    held, before = models.tensors(tmp_path / "out"), models.tensors(llama)
    layers = {name for name in before if "_proj.weight" in name}
    assert held.keys() == before.keys() | {f"{name}_scale" for name in layers}
    for name, tensor in before.items():
        assert held[name].shape == tensor.shape
        assert held[name].dtype == (torch.float8_e4m3fn if name in layers else torch.bfloat16)
    for name in layers:
        assert (held[f"{name}_scale"].shape, held[f"{name}_scale"].dtype) == ((len(before[name]), 1), torch.bfloat16)
        assert (dequantise_rows(held[name], held[f"{name}_scale"]) - before[name].float()).abs().max() < 0.02
    told = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    group = told["config_groups"]["group_0"]
    assert (told["quant_method"], told["format"], told["ignore"]) == (
        "compressed-tensors",
        "float-quantized",
        ["lm_head"],
    )
    assert (group["weights"]["strategy"], group["input_activations"]["strategy"]) == ("channel", "token")
    assert group["input_activations"]["dynamic"]
    assert 0.02 < made.verdict.worst < 0.04
    assert made.verdict.cosine > 0.99
    assert 0 < made.verdict.scales[0] < made.verdict.scales[1]


def test_a_router_and_a_head_of_scores_stay_as_they_are(scoring, tmp_path):
    export(open_source(scoring), Fp8Dynamic(), str(tmp_path / "judge"))
    source = open_source(models.save(tmp_path / "mixture", "mixtral", **models.MIXTRAL))
    export(source, Fp8Dynamic(), str(tmp_path / "experts"))
    held = models.tensors(tmp_path / "judge") | models.tensors(tmp_path / "experts")
    assert held["score.weight"].dtype == torch.bfloat16
    assert held["model.layers.0.block_sparse_moe.gate.weight"].dtype == torch.bfloat16
    assert held["model.layers.0.block_sparse_moe.experts.3.w2.weight"].dtype == torch.float8_e4m3fn
    told = json.loads((tmp_path / "experts" / "config.json").read_text())["quantization_config"]
    assert told["ignore"] == [f"model.layers.{n}.block_sparse_moe.gate" for n in (0, 1)] + ["lm_head"]


def test_tokens_are_rounded_by_their_own_scale():
    inputs = torch.tensor([[448.0, 1.0, 17.0], [0.0, 0.0, 0.0], [0.448, 0.001, 0.017]])
    assert per_token(inputs)[0].tolist() == [448.0, 1.0, 16.0]
    assert per_token(inputs)[1].tolist() == [0.0, 0.0, 0.0]
    assert torch.allclose(per_token(inputs)[2] * 1000, per_token(inputs)[0])


class ScalesLost(Fp8Dynamic):
    """The format with a mistake: scales are of the row below."""

    def _each(self, source):
        for name, tensor in super()._each(source):
            yield name, tensor.roll(1, 0) * 4 if name.endswith("q_proj.weight_scale") else tensor


def test_wrong_scales_leave_no_folder(llama, tmp_path):
    with pytest.raises(ExportError, match=r"q_proj\.weight differs by"):
        export(open_source(llama), ScalesLost(), str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_gpt2_is_refused(tmp_path):
    source = open_source(models.save(tmp_path / "model", "gpt2"))
    with pytest.raises(ExportError, match="Conv1D"):
        export(source, Fp8Dynamic(), str(tmp_path / "out"))


def test_against_compressed_tensors(llama, tmp_path):
    """transformers with compressed-tensors loads the folder, and computes what the test said it would."""
    pytest.importorskip("compressed_tensors", reason="compressed-tensors is not installed")
    from compressed_tensors.quantization import QuantizationConfig, quant_scheme, quantize
    from compressed_tensors.quantization.utils import calculate_qparams

    source = open_source(llama)
    export(source, Fp8Dynamic(), str(tmp_path / "out"))
    held, arguments = models.tensors(tmp_path / "out"), quant_scheme.FP8_DYNAMIC["weights"]
    for name, weight in models.tensors(llama).items():
        if f"{name}_scale" in held:
            scale, _ = calculate_qparams(weight.amin(-1, keepdim=True), weight.amax(-1, keepdim=True), arguments)
            assert torch.equal(held[f"{name}_scale"], scale)
            made = quantize(x=weight, scale=scale, zero_point=None, args=arguments, dtype=torch.float8_e4m3fn)
            assert torch.equal(held[name].view(torch.uint8), made.view(torch.uint8))
    told = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    assert QuantizationConfig(**{k: v for k, v in told.items() if k in QuantizationConfig.model_fields}).ignore == [
        "lm_head"
    ]
    tokens = probe(source)
    theirs, ours = models.answer(tmp_path / "out", tokens), models.answer(llama, tokens)
    assert cosine(ours, theirs) > 0.99
