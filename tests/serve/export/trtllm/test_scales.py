import pytest
import torch

from serve.errors import ExportError
from serve.export.calibration import Amax
from serve.export.trtllm.ranks import entries
from serve.export.trtllm.scales import Scales, quantised
from serve.export.trtllm.tables import Share

UNSEEN = Amax()


def entry(source, name):
    return next(one for one in entries(source.model, source.family, Share(1, 0), 1, 0) if one.name.endswith(name))


def test_layers_that_are_fused_have_one_scale(sources):
    source = sources("llama")
    scales = Scales(source, UNSEEN)
    layer = "model.layers.0.self_attn.{}_proj.weight"
    largest = max(float(source.part(layer.format(name)).abs().max()) for name in "qkv")
    assert scales.weights(entry(source, "layers.0.attention.qkv.weight")) == torch.tensor([largest]) / 448
    both = [scales.weights(entry(source, f"layers.0.mlp.{name}.weight")) for name in ("fc", "gate")]
    assert both[0] == both[1]


def test_experts_have_a_scale_each_and_one_of_their_inputs(sources):
    source = sources("mixtral")
    seen = {f"model.layers.1.block_sparse_moe.experts.{expert}.w1": 3.0 + expert for expert in (0, 2)}
    scales = Scales(source, Amax(seen))
    experts = entry(source, "layers.1.mlp.fc.weight")
    assert scales.weights(experts).shape == (3, 1)
    assert len(set(scales.weights(experts).flatten().tolist())) == 3
    assert scales.inputs(experts) == torch.tensor([5.0]) / 448


def test_weights_of_nothing_but_zeros_have_a_scale(sources):
    source = sources("llama")
    source.part = lambda name, *bounds: torch.zeros(tuple(b - a for a, b in bounds) or source.shapes[name])
    scales, layer = Scales(source, UNSEEN), entry(source, "layers.0.attention.dense.weight")
    assert scales.weights(layer) == torch.ones(1)
    assert not quantised(layer, source, scales.weights(layer)).float().any()


def test_an_input_that_calibration_did_not_see_is_told(sources):
    source = sources("llama")
    with pytest.raises(ExportError, match=r"calibration saw no input of model\.layers\.0\.self_attn\.o_proj"):
        Scales(source, UNSEEN).inputs(entry(source, "layers.0.attention.dense.weight"))


def test_a_cache_that_needs_no_scale_has_none():
    scales = Scales(None, Amax(keys={0: 3.0, 1: 896.0}, values={0: 4.0, 1: 5.0}))
    assert [scales.cache(layer).tolist() for layer in (0, 1)] == [[1.0], [2.0]]
