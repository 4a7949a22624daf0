"""What a folder must have to be imported, and that nothing changes on the way through."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from millrace import storage
from pretrain.config import Model
from pretrain.errors import WeightsError
from pretrain.hf.config import config_json, family_of
from pretrain.hf.folder import TensorFolder, write_tensors
from pretrain.hf.rows import Box
from pretrain.hf.tables import table
from pretrain.hf.weights import Tokenizer, Weights, export_weights, import_weights
from tests.pretrain.hf.models import MODELS, VOCABULARY


def tensors_of(model: Model) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    sources = [matrix.sources() for matrix in table(model, family_of(model))]
    return {name: torch.randn(shape) for each in sources for name, shape in each.items()}


def folder(path, model: Model, tensors: dict[str, torch.Tensor]) -> str:
    """Write a folder of exactly these tensors."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    write_tensors(str(path), shapes, "float32", iter(tensors.items()), 10**9)
    storage.write_json(str(path / "config.json"), config_json(model, "float32", None))
    return str(path)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
def test_through_megatrons_layout_and_back_nothing_changes(tmp_path, name, dtype):
    model, tensors = MODELS[name][2], tensors_of(MODELS[name][2])
    first = folder(tmp_path / "first", model, tensors)
    export_weights(model, Weights(first, model).read, str(tmp_path / "second"), None, dtype, shard_bytes=50_000)
    read = TensorFolder(str(tmp_path / "second"))
    assert read.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for tensor, value in tensors.items():
        back = read.part(tensor, *((0, n) for n in value.shape))
        assert torch.equal(back, value.to(getattr(torch, dtype))), tensor


def test_experts_are_read_one_by_one_or_together(tmp_path):
    model = MODELS["mixtral"][2]
    tensors = tensors_of(model)
    weights = Weights(folder(tmp_path, model, tensors), model)
    key = "decoder.layers.1.mlp.experts.experts.linear_fc1.weight"
    two = weights.read(Box(key, (2, 90, 0), (2, 12, 64)))
    for place, expert in enumerate((2, 3)):
        name = f"model.layers.1.block_sparse_moe.experts.{expert}."
        assert torch.equal(two[place, :6], tensors[name + "w1.weight"][90:])
        assert torch.equal(two[place, 6:], tensors[name + "w3.weight"][:6])


def test_the_norm_before_experts_has_two_names(tmp_path):
    """Transformer Engine's layers keep its own name for it."""
    model = MODELS["mixtral"][2]
    weights = Weights(folder(tmp_path, model, tensors_of(model)), model)
    one, other = (Box(f"decoder.layers.0.{name}weight", (0,), (64,)) for name in
                  ("mlp.linear_fc1.layer_norm_", "pre_mlp_layernorm."))  # fmt: skip
    assert torch.equal(weights.read(one), weights.read(other))


@dataclasses.dataclass
class Part:
    """A piece as Megatron's ShardedTensor describes it."""

    key: str
    data: torch.Tensor
    local_shape: tuple[int, ...]
    global_offset: tuple[int, ...]


def test_import_fills_pieces_in_their_own_type(tmp_path):
    model = MODELS["mixtral"][2]
    tensors = tensors_of(model)
    piece = Part(
        "decoder.layers.0.mlp.experts.experts.linear_fc2.weight",
        torch.nn.Parameter(torch.zeros(64, 96, dtype=torch.bfloat16)), (64, 96), (3, 0, 0),
    )  # fmt: skip
    import_weights(folder(tmp_path, model, tensors), model, [piece])
    wanted = tensors["model.layers.0.block_sparse_moe.experts.3.w2.weight"]
    assert torch.equal(piece.data, wanted.bfloat16())


def test_a_folder_that_does_not_fit_is_refused_by_name(tmp_path):
    model = MODELS["llama"][2]
    tensors = tensors_of(model)
    up = "model.layers.1.mlp.up_proj.weight"
    changed = {
        "missing": ({name: t for name, t in tensors.items() if name != up}, rf"lacks 1 of \d+ tensors.*{up}"),
        "misspelt": ({name.replace("up_proj", "upproj"): t for name, t in tensors.items()}, "Did you mean .*upproj"),
        "more": ({**tensors, "model.layers.2.mlp.up_proj.weight": tensors[up]}, r"has 1 tensors .*layers\.2\.mlp"),
        "bias": ({**tensors, "model.layers.0.self_attn.q_proj.bias": torch.zeros(64)}, r"does not use.*q_proj\.bias"),
        "shape": ({**tensors, up: tensors[up].T.contiguous()}, rf"{up} has the shape \(64, 96\).*needs \(96, 64\)"),
        "no head": ({name: t for name, t in tensors.items() if name != "lm_head.weight"}, "tie_word_embeddings false"),
    }  # fmt: skip
    for name, (given, said) in changed.items():
        with pytest.raises(WeightsError, match=said):
            Weights(folder(tmp_path / name, model, given), model)


def test_tied_embeddings_that_are_there_twice_must_be_the_same(tmp_path):
    model = MODELS["qwen2"][2]
    tensors = tensors_of(model)
    same = {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].clone()}
    Weights(folder(tmp_path / "same", model, same), model)
    same["lm_head.weight"][-1, -1] += 1
    with pytest.raises(WeightsError, match=r"tie_word_embeddings true, but lm_head\.weight is there and differs"):
        Weights(folder(tmp_path / "other", model, same), model)


def test_padding_is_zero_on_import_and_gone_on_export(tmp_path):
    model = MODELS["gpt2"][2]
    tensors = tensors_of(model)
    weights = Weights(folder(tmp_path, model, tensors), model)
    whole = weights.read(Box("embedding.word_embeddings.weight", (0, 0), (512, 64)))
    assert torch.equal(whole[:VOCABULARY], tensors["transformer.wte.weight"])
    assert not whole[VOCABULARY:].any()
    assert not weights.read(Box("embedding.word_embeddings.weight", (504, 0), (8, 64))).any()


def test_base_models_and_old_constants_are_understood(tmp_path):
    """GPT-2 on the hub: names without a prefix, and masks among the weights."""
    model = MODELS["gpt2"][2]
    tensors = tensors_of(model)
    bare = {name.removeprefix("transformer."): t for name, t in tensors.items()}
    bare |= {"h.0.attn.bias": torch.ones(1, 1, 32, 32), "h.0.attn.masked_bias": torch.zeros(1)}
    weights = Weights(folder(tmp_path, model, bare), model)
    read = weights.read(Box("decoder.layers.1.mlp.linear_fc1.weight", (0, 0), (96, 64)))
    assert torch.equal(read, tensors["transformer.h.1.mlp.c_fc.weight"].T)


def test_a_tensor_of_another_family_is_refused(tmp_path):
    model = MODELS["llama"][2]
    weights = Weights(folder(tmp_path, model, tensors_of(model)), model)
    with pytest.raises(WeightsError, match=r"has nothing for embedding\.position_embeddings"):
        weights.read(Box("embedding.position_embeddings.weight", (0, 0), (32, 64)))


def test_a_token_the_tokenizer_has_not_is_refused(tmp_path):
    model = MODELS["llama"][2]
    source = Weights(folder(tmp_path / "first", model, tensors_of(model)), model)
    empty = b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}'
    with pytest.raises(WeightsError, match="has no token 7"):
        export_weights(model, source.read, str(tmp_path / "second"), Tokenizer(empty, 7))
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
