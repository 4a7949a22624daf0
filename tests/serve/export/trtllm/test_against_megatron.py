"""Layers of every rank against Megatron's own converter for TensorRT-LLM (megatron.core.export.trtllm, 0.16)."""

import re
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from pretrain.hf.tables import table
from serve.export.trtllm.checkpoint import TensorrtLlm
from tests.serve.export.trtllm import models

converter = pytest.importorskip(
    "megatron.core.export.trtllm.trtllm_weights_converter.single_device_trtllm_model_weights_converter",
    reason="megatron-core is not installed",
)
names = pytest.importorskip("megatron.core.export.trtllm.model_to_trllm_mapping.default_conversion_dict")


def megatron_layers(source):
    """Return the layers of Megatron's model as its state dict has them; experts stacked."""
    made = {}
    for matrix in table(source.model, source.family):
        whole = matrix.join(source, (0,) * len(matrix.shape), matrix.shape)
        if matrix.expert is None:
            made[matrix.key] = whole
        else:
            made.setdefault(matrix.key, []).append(whole)
    stacked = {key: torch.stack(value) for key, value in made.items() if isinstance(value, list)}
    return {**made, **stacked}


def their_layers(source, tp, monkeypatch):
    monkeypatch.setattr(converter, "str_dtype_to_torch", lambda dtype: torch.float32)  # asks an absent tensorrt_llm
    model = source.model
    made = converter.SingleDeviceTRTLLMModelWeightsConverter(
        SimpleNamespace(inference_tp_size=tp, use_parallel_embedding=True),
        SimpleNamespace(
            num_query_groups=model.key_heads, num_attention_heads=model.heads, kv_channels=model.head_size,
            layernorm_zero_centered_gamma=False, normalization="RMSNorm", num_layers=model.layers,
            gated_linear_unit=model.activation == "swiglu",
        ),
        None,
    )  # fmt: skip
    for key, value in megatron_layers(source).items():
        bare = re.sub(r"layers\.\d+\.", "layers.", key)
        if "layers." in key and bare in names.DEFAULT_CONVERSION_DICT:
            theirs = names.DEFAULT_CONVERSION_DICT[bare].value
            number = re.search(r"layers\.(\d+)\.", key)[1]
            made._convert_transformer_layer(theirs.replace("layers.", f"layers.{number}."), value)
    return made.trtllm_model_weights


@pytest.mark.peer
@pytest.mark.parametrize("name", [name for name in models.KINDS if name != "llama_biased"])  # it knows no bias of gates
@pytest.mark.parametrize("tp", [2, 4])
def test_layers_are_those_of_megatron(tmp_path, sources, monkeypatch, name, tp):
    source = sources(name)
    TensorrtLlm(tp=tp).write_with(source, str(tmp_path), None)
    ranks = [load_file(tmp_path / f"rank{rank}.safetensors") for rank in range(tp)]
    theirs = their_layers(source, tp, monkeypatch)
    compared = set()
    for key, value in theirs.items():
        part = re.fullmatch(r"(.+)\.(\d+)\.bin", key)
        for rank in [int(part[2])] if part else range(tp):
            ours = ranks[rank][part[1] if part else key]
            assert torch.equal(ours.reshape(value.shape), value), (key, rank)
            compared.add((rank, part[1] if part else key))
    left = {(rank, key) for rank in range(tp) for key in ranks[rank] if ".layers." in key} - compared
    assert {key.rsplit(".", 2)[1] for _, key in left} <= {"q_layernorm", "k_layernorm"}
