"""The forward pass of a decoder over tokens of many sequences at once, with keys and values in a block cache."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from serve.engine import attention
from serve.engine.adapters import Adapters
from serve.engine.cache import Cache
from serve.engine.rope import frequencies, rotate
from serve.engine.step import OnDevice, Step, put
from serve.engine.weights import DecoderWeights, Experts, Layer, Linear, Norm


class Decoder:
    """A decoder-only transformer of the families of pretrain.hf.config, and its adapters."""

    def __init__(self, weights: DecoderWeights, adapters: Adapters | None = None):
        self.weights, self.adapters = weights, adapters
        model = weights.model
        self.groups, self.size = model.key_heads, model.head_size
        self.each = model.heads // model.key_heads  # query heads a key head
        self.frequencies = frequencies(model, weights.device) if weights.positions is None else None
        self.activate = ACTIVATIONS[model.activation]

    def hidden(self, step: Step, cache: Cache) -> Tensor:
        """Read the step's tokens, write their keys and values, return (m, hidden) after the wanted ones."""
        given = put(step, self.frequencies, self.weights.dtype, self.weights.device)
        x = self.weights.embedding.index_select(0, given.tokens)
        if self.weights.positions is not None:
            x = x + self.weights.positions.index_select(0, given.positions)
        linear: Callable[[Linear, Tensor], Tensor] = _plain
        if given.adapters is not None and self.adapters is not None:
            own = self.adapters.masks(given.adapters)

            linear = functools.partial(self.adapters.apply, own)

        for number, layer in enumerate(self.weights.layers):
            x = x + self._attend(layer, number, _normal(layer.before, x), given, step, cache, linear)
            x = x + self._feed(layer, _normal(layer.between, x), linear)
        return _normal(self.weights.last, x.index_select(0, given.wanted))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return float32 (m, vocabulary), or of a reward model (m, 1)."""
        output = self.weights.output
        return F.linear(hidden.to(output.dtype), output).float()

    def _attend(self, layer: Layer, number: int, x: Tensor, given: OnDevice, step: Step, cache: Cache,
                linear: Callable[[Linear, Tensor], Tensor]) -> Tensor:  # fmt: skip
        heads = linear(layer.qkv, x).view(len(x), self.groups, self.each + 2, self.size)
        turning, values = heads[:, :, :-1], heads[:, :, -1]
        if layer.heads is not None:
            turning = F.rms_norm(turning, (self.size,), None, layer.heads.eps) * layer.heads.weight
        if self.frequencies is not None:
            turning = rotate(turning, given.cosine, given.sine)
        queries, keys = turning[:, :, :-1], turning[:, :, -1]
        k, v = cache.keys[number], cache.values[number]
        k.view(-1, self.groups, self.size).index_copy_(0, given.cells, keys)
        v.view(-1, self.groups, self.size).index_copy_(0, given.cells, values)
        singles = len(step.tables)
        parts = []
        if singles:
            parts.append(attention.single(queries[:singles], k, v, given.tables, given.lengths))
        for chunk in step.chunks:
            parts.append(attention.chunked(queries[chunk.start : chunk.stop], k, v, chunk))
        found = parts[0] if len(parts) == 1 else torch.cat(parts)
        return linear(layer.proj, found.reshape(len(x), -1))

    def _feed(self, layer: Layer, x: Tensor, linear: Callable[[Linear, Tensor], Tensor]) -> Tensor:
        if layer.experts is not None:
            return _mixture(layer.experts, x)
        assert layer.up is not None
        assert layer.down is not None
        return linear(layer.down, self.activate(linear(layer.up, x)))


def _plain(layer: Linear, x: Tensor) -> Tensor:
    return F.linear(x, layer.weight, layer.bias)


def _swiglu(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "swiglu": _swiglu, "gelu": F.gelu, "gelu_tanh": functools.partial(F.gelu, approximate="tanh")
}  # fmt: skip


def _normal(norm: Norm, x: Tensor) -> Tensor:
    if norm.bias is not None:
        return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps)
    return F.rms_norm(x, norm.weight.shape, norm.weight, norm.eps)


def _mixture(experts: Experts, x: Tensor) -> Tensor:
    """Send each token to the experts its router likes best, weighed by the probabilities among those.

    Tokens are sorted by expert, so each expert multiplies once; their counts are one wait for the device.
    """
    probabilities = F.linear(x, experts.router).float().softmax(-1)
    share, chosen = probabilities.topk(experts.each, -1)
    share = (share / share.sum(-1, keepdim=True)).to(x.dtype)
    order = chosen.flatten().argsort(stable=True)
    rows = order // experts.each
    counts = torch.bincount(chosen.flatten(), minlength=len(experts.router)).tolist()
    parts = [
        F.linear(_swiglu(F.linear(part, experts.up[number])), experts.down[number])
        for number, part in enumerate(x.index_select(0, rows).split(counts))
        if len(part)
    ]
    weighed = torch.cat(parts) * share.flatten().index_select(0, order)[:, None]
    # Each token's experts are added in their order, not in that of threads.
    return torch.empty_like(weighed).index_copy_(0, order, weighed).view(len(x), experts.each, -1).sum(1)
