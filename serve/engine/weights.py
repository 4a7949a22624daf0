"""The weights of a decoder, read from a Hugging Face folder into the layout that the forward pass wants."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch
from torch import Tensor

from millrace.errors import MillraceError
from pretrain.config import Model
from pretrain.hf.config import read_config, read_family
from pretrain.hf.folder import TensorFolder
from pretrain.hf.rows import Matrix
from pretrain.hf.tables import SCORE, table
from pretrain.hf.weights import Weights
from serve.engine.linear import Linear, linear
from serve.errors import ModelFolderError
from serve.model import ModelFolder

LAYER = "decoder.layers.{}."
QKV, PROJ = "self_attention.linear_qkv.", "self_attention.linear_proj."
FC1, FC2 = "mlp.linear_fc1.", "mlp.linear_fc2."


@dataclass(frozen=True)
class Norm:
    """A normalisation: with a bias LayerNorm, without one RMSNorm."""

    weight: Tensor
    bias: Tensor | None
    eps: float


@dataclass(frozen=True)
class Experts:
    """A mixture of experts."""

    router: Linear  # (experts, hidden)
    up: tuple[Linear, ...]  # of each (2 ffn, hidden), the gate and then what it multiplies
    down: tuple[Linear, ...]  # of each (hidden, ffn)
    each: int  # experts a token goes to


@dataclass(frozen=True)
class Layer:
    """A decoder layer. Rows of qkv: for each key head, the query heads that attend to it, its key and its value."""

    before: Norm
    qkv: Linear
    heads: Norm | None  # (query heads a key head + 1, head size): of queries and key (Qwen 3)
    proj: Linear
    between: Norm
    up: Linear | None  # dense, (ffn or, gated, 2 ffn, hidden)
    down: Linear | None
    experts: Experts | None


@dataclass(frozen=True)
class DecoderWeights:
    """All weights of a model. `output` is (vocabulary, hidden), or of a reward model (1, hidden) in float32."""

    model: Model
    family: str
    scores: bool  # a reward model
    embedding: Tensor  # (vocabulary, hidden)
    positions: Tensor | None  # (positions, hidden) where they are learnt
    layers: tuple[Layer, ...]
    last: Norm
    output: Linear
    matrices: dict[str, Matrix] = field(repr=False, default_factory=dict)  # key -> how its rows lie in the folder's

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    @property
    def dtype(self) -> torch.dtype:
        return self.embedding.dtype


def read_weights(folder: ModelFolder, dtype: torch.dtype, device: torch.device) -> DecoderWeights:
    """Read a model, tensor by tensor, cast to a dtype.

    Names and shapes are checked by the headers before anything is read. Raises ModelFolderError for a quantised
    model, another architecture, missing or unknown tensors, other shapes, and a reward model of several outputs.
    """
    if folder.quantization:
        raise ModelFolderError(
            f"{folder.folder} is quantised ({folder.quantization}); this engine runs float32, bfloat16 and float16 "
            "folders. Serve it with vLLM or trtllm-serve, and `millrace serve --upstream URL`"
        )
    try:
        model = dataclasses.replace(read_config(folder.folder), vocab_multiple=1)
        family = read_family(folder.folder)
        outputs = _outputs(folder.folder) if folder.kind == "reward" else 0
        weights = Weights(folder.folder, model, outputs)
        return _Reader(weights, model, family, outputs, dtype, device).read()
    except ModelFolderError:
        raise
    except MillraceError as error:
        raise ModelFolderError(str(error)) from None


def _outputs(folder: str) -> int:
    shape = TensorFolder(folder).shapes.get(SCORE)
    if shape is None:
        raise ModelFolderError(f"{folder} is a reward model by its config.json, but has no tensor {SCORE}")
    if len(shape) != 2 or shape[0] != 1:
        raise ModelFolderError(f"{folder}: {SCORE} has the shape {shape}; a reward model of one output is (1, hidden)")
    return 1


class _Reader:
    def __init__(self, weights: Weights, model: Model, family: str, outputs: int, dtype: torch.dtype,
                 device: torch.device):  # fmt: skip
        self.weights, self.model, self.family, self.outputs = weights, model, family, outputs
        self.dtype, self.device = dtype, device
        self.matrices: dict[str, list[Matrix]] = {}
        for matrix in table(model, family, outputs):
            self.matrices.setdefault(matrix.key, []).append(matrix)

    def read(self) -> DecoderWeights:
        model = self.model
        embedding = self.tensor("embedding.word_embeddings.weight")
        output = embedding if model.tied_embeddings and not self.outputs else self.tensor("output_layer.weight")
        output = output.float() if self.outputs else output
        learnt = model.position_embedding == "learned"
        return DecoderWeights(
            model, self.family, bool(self.outputs), embedding,
            self.tensor("embedding.position_embeddings.weight") if learnt else None,
            tuple(self.layer(LAYER.format(number)) for number in range(model.layers)),
            self.norm("decoder.final_layernorm."), linear("output_layer.", output),
            {key: found[0] for key, found in self.matrices.items() if len(found) == 1},
        )  # fmt: skip

    def layer(self, at: str) -> Layer:
        dense = self.model.experts is None
        return Layer(
            self.norm(at + QKV + "layer_norm_"), self.linear(at + QKV), self.heads(at), self.linear(at + PROJ),
            self.norm(at + FC1 + "layer_norm_"), self.linear(at + FC1) if dense else None,
            self.linear(at + FC2) if dense else None, None if dense else self.experts(at),
        )  # fmt: skip

    def tensor(self, key: str) -> Tensor:
        found = self.matrices[key]
        read: Tensor = torch.cat([self.weights.read(one.box) for one in found]) if found[0].expert is not None else (
            self.weights.read(found[0].box)
        )  # fmt: skip
        return read.to(device=self.device, dtype=self.dtype).contiguous()

    def linear(self, key: str) -> Linear:
        return linear(key, self.tensor(key + "weight"), self._given(key + "bias"))

    def norm(self, key: str) -> Norm:
        return Norm(self.tensor(key + "weight"), self._given(key + "bias"), self.model.norm_eps)

    def heads(self, at: str) -> Norm | None:
        if not self.model.qk_norm:
            return None
        q, k = (self.tensor(f"{at}self_attention.{name}_layernorm.weight") for name in "qk")
        each = self.model.heads // self.model.key_heads
        return Norm(torch.stack([q] * each + [k]), None, self.model.norm_eps)

    def experts(self, at: str) -> Experts:
        up, down = (
            tuple(linear("", one) for one in self.tensor(f"{at}mlp.experts.experts.linear_fc{number}.weight").unbind())
            for number in (1, 2)
        )
        return Experts(linear("", self.tensor(at + "mlp.router.weight")), up, down, self.model.experts_per_token)

    def _given(self, key: str) -> Tensor | None:
        return self.tensor(key) if key in self.matrices else None
