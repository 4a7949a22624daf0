"""The forward pass of a decoder over tokens of many sequences at once, with keys and values in a block cache."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from serve.engine.adapters import Adapters
from serve.engine.between import Between, Compiled, InTorch
from serve.engine.cache import Cache
from serve.engine.linear import Linear, packs
from serve.engine.rope import frequencies
from serve.engine.step import Step, put
from serve.engine.weights import DecoderWeights, Experts, Layer


class Decoder:
    """A decoder-only transformer of the families of pretrain.hf.config, and its adapters."""

    def __init__(self, weights: DecoderWeights, adapters: Adapters | None = None):
        self.weights, self.adapters = weights, adapters
        model = weights.model
        self.frequencies = frequencies(model, weights.device) if weights.positions is None else None
        self._heads = (model.key_heads, model.heads // model.key_heads + 2, model.head_size)
        compiled = packs(weights.dtype, weights.device)
        self._between: Between = Compiled(model) if compiled else InTorch(model)

    def hidden(self, step: Step, cache: Cache) -> Tensor:
        """Read the step's tokens, write their keys and values, return (m, hidden) after the wanted ones."""
        given = put(step, self.frequencies, self.weights.dtype, self.weights.device)
        x = self.weights.embedding.index_select(0, given.tokens)
        if self.weights.positions is not None:
            x = x + self.weights.positions.index_select(0, given.positions)
        apply: Callable[[Linear, Tensor], Tensor] = _plain
        if given.adapters is not None and self.adapters is not None:
            apply = functools.partial(self.adapters.apply, self.adapters.masks(given.adapters))
        more = None
        for number, layer in enumerate(self.weights.layers):
            x, normal = self._between.add_normal(layer.before, x, more)
            heads = apply(layer.qkv, normal).view(len(x), *self._heads)
            attended = self._between.attend(heads, layer.heads, given, step, cache, number)
            x, normal = self._between.add_normal(layer.between, x, apply(layer.proj, attended))
            more = self._feed(layer, normal, apply)
        assert more is not None
        _, normal = self._between.add_normal(
            self.weights.last, x.index_select(0, given.wanted), more.index_select(0, given.wanted)
        )
        return normal

    def logits(self, hidden: Tensor) -> Tensor:
        """Return float32 (m, vocabulary), or of a reward model (m, 1), of what `hidden` returned."""
        output = self.weights.output
        return output(hidden.float() if self.weights.scores else hidden).float()

    def _feed(self, layer: Layer, x: Tensor, apply: Callable[[Linear, Tensor], Tensor]) -> Tensor:
        if layer.experts is not None:
            return self._mixture(layer.experts, x)
        assert layer.up is not None
        assert layer.down is not None
        return apply(layer.down, self._between.activate(apply(layer.up, x)))

    def _mixture(self, experts: Experts, x: Tensor) -> Tensor:
        """Send each token to the experts its router likes best, weighed by the probabilities among those.

        Tokens are sorted by expert, so each expert multiplies once; their counts are one wait for the device.
        """
        probabilities = experts.router(x).float().softmax(-1)
        share, chosen = probabilities.topk(experts.each, -1)
        share = (share / share.sum(-1, keepdim=True)).to(x.dtype)
        order = chosen.flatten().argsort(stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=len(experts.up)).tolist()
        parts = [
            experts.down[number](self._between.activate(experts.up[number](part)))
            for number, part in enumerate(x.index_select(0, order // experts.each).split(counts))
            if len(part)
        ]
        weighed = torch.cat(parts) * share.flatten().index_select(0, order)[:, None]
        # Each token's experts are added in their order of liking, not in that of experts.
        return torch.empty_like(weighed).index_copy_(0, order, weighed).view(len(x), experts.each, -1).sum(1)


def _plain(layer: Linear, x: Tensor) -> Tensor:
    return layer(x)
