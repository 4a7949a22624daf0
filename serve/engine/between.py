"""What lies between the matrix products: norms, activations, attention. In torch, and compiled for the CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pretrain.config import Model
from serve.engine import attention
from serve.engine.cache import Cache
from serve.engine.rope import rotate
from serve.engine.step import OnDevice, Step
from serve.engine.weights import Norm

SPREAD = 1 << 20  # products of attention below which one thread is as quick: about 0.3 ms of one core


class Between(Protocol):
    """One way to compute what lies between the matrix products of a step."""

    def add_normal(self, norm: Norm, x: Tensor, more: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return x + more and its normalisation, (t, hidden) each. x may be written to."""
        ...

    def activate(self, x: Tensor) -> Tensor:
        """Return what the second feed-forward layer reads."""
        ...

    def attend(self, heads: Tensor, norm: Norm | None, given: OnDevice, step: Step, cache: Cache,
               layer: int) -> Tensor:  # fmt: skip
        """Write keys and values into the cache and return what each token attends to, (t, query heads x size).

        heads (t, groups, query heads + 2, size): of each group the queries, the key, the value; may be written to.
        """
        ...


def swiglu(x: Tensor) -> Tensor:
    """Return silu(gate) * up, of (t, 2 size): gates first."""
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "swiglu": swiglu, "gelu": F.gelu, "gelu_tanh": functools.partial(F.gelu, approximate="tanh")
}  # fmt: skip


class InTorch:
    """On any device and in any dtype: keys and values are gathered from blocks."""

    def __init__(self, model: Model):
        self.activate = ACTIVATIONS[model.activation]
        self._turns = model.position_embedding == "rope"

    def add_normal(self, norm: Norm, x: Tensor, more: Tensor | None) -> tuple[Tensor, Tensor]:
        """See Between."""
        x = x if more is None else x + more
        if norm.bias is not None:
            return x, F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps)
        return x, F.rms_norm(x, norm.weight.shape, norm.weight, norm.eps)

    def attend(self, heads: Tensor, norm: Norm | None, given: OnDevice, step: Step, cache: Cache,
               layer: int) -> Tensor:  # fmt: skip
        """See Between."""
        groups, size = heads.shape[1], heads.shape[3]
        turning, new_values = heads[:, :, :-1], heads[:, :, -1]
        if norm is not None:
            turning = F.rms_norm(turning, (size,), None, norm.eps) * norm.weight
        if self._turns:
            turning = rotate(turning, given.cosine[:, None, None], given.sine[:, None, None])
        queries, new_keys = turning[:, :, :-1], turning[:, :, -1]
        keys, values = cache.keys[layer], cache.values[layer]
        keys.view(-1, groups, size).index_copy_(0, given.cells, new_keys)
        values.view(-1, groups, size).index_copy_(0, given.cells, new_values)
        parts, singles = [], step.singles
        if singles:
            tables, lengths = given.tables[:singles], given.positions[:singles] + 1
            parts.append(attention.single(queries[:singles], keys, values, tables, lengths))
        for chunk in step.chunks:
            own = queries[chunk.start : chunk.stop]
            parts.append(attention.chunked(own, keys, values, given.tables[chunk.sequence], chunk.first))
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).reshape(len(heads), -1)


class Compiled:
    """On a CPU in float32: keys and values are read where they lie, and a row's bits are its own."""

    def __init__(self, model: Model):
        from serve.engine import kernels  # compiles on first use, and is kept

        self._kernels = kernels
        self._activation = ACTIVATIONS[model.activation]
        self._gated = model.activation == "swiglu"
        threads = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(threads, "attention") if threads > 1 else None
        self._threads = threads

    def add_normal(self, norm: Norm, x: Tensor, more: Tensor | None) -> tuple[Tensor, Tensor]:
        """See Between."""
        if norm.bias is not None:
            x = x if more is None else x.add_(more)
            return x, F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps)
        made = torch.empty_like(x)
        if more is None:
            self._kernels.normalise(x.numpy(), norm.weight.numpy(), norm.eps, made.numpy())
        else:
            self._kernels.add_and_normalise(x.numpy(), more.numpy(), norm.weight.numpy(), norm.eps, made.numpy())
        return x, made

    def activate(self, x: Tensor) -> Tensor:
        """See Between."""
        if not self._gated:
            return self._activation(x)
        made = x.new_empty(len(x), x.shape[1] // 2)
        self._kernels.swiglu(x.numpy(), made.numpy())
        return made

    def attend(self, heads: Tensor, norm: Norm | None, given: OnDevice, step: Step, cache: Cache,
               layer: int) -> Tensor:  # fmt: skip
        """See Between."""
        count, groups, each, size = heads.shape
        plain = heads.numpy()
        keys, values = (one[layer].view(-1, groups, size).numpy() for one in (cache.keys, cache.values))
        if norm is not None:
            self._kernels.normalise_heads(plain, norm.weight.numpy(), norm.eps)
        self._kernels.turn_and_place(plain, given.cosine.numpy(), given.sine.numpy(), keys, values, step.cells)
        made = heads.new_empty(count, groups, each - 2, size)
        out = made.numpy()

        def attend(first: int, last: int) -> None:
            block = cache.block_tokens
            self._kernels.attend(plain, keys, values, step.tables, step.of, step.positions, block, first, last, out)

        seen = step.positions + 1
        if self._pool is None or int(seen.sum()) * out[0].size < SPREAD:
            attend(0, count)
        else:  # the loops let go of Python's lock
            bounds = _shares(seen, self._threads)
            list(self._pool.map(attend, bounds[:-1], bounds[1:]))
        return made.view(count, -1)


def _shares(seen: np.ndarray, parts: int) -> list[int]:
    """Return the bounds of `parts` runs of tokens that see about as many tokens together; seen (t,)."""
    total = seen.cumsum()
    inner = np.searchsorted(total, total[-1] * np.arange(1, parts) / parts).tolist()
    return sorted({0, len(seen), *inner})
