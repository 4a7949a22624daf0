"""Keys and values of past tokens, in buffers with room, from which rows leave."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64  # tokens a buffer starts with beyond the prompt; then it grows by half


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of a layer of full attention: a new token is written in place, where DynamicLayer copies all."""

    def __init__(self) -> None:
        super().__init__()
        self._held: tuple[Tensor, Tensor] | None = None  # each (rows, heads, room, size of a head)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append (rows, heads, tokens, size of a head); return all keys and values, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        stop = start + key_states.shape[2]
        if self._held is None or stop > self._held[0].shape[2]:
            room = max(stop + ROOM, stop * 3 // 2 if start else 0)
            self._held = tuple(
                _with_room(old, new, room) for old, new in ((self.keys, key_states), (self.values, value_states))
            )
        assert self._held is not None
        for held, new in zip(self._held, (key_states, value_states)):
            held[:, :, start:stop] = new
        self._show(stop)
        return self.keys, self.values

    def reorder_cache(self, rows: Tensor) -> None:
        """Keep these rows, in this order; one may be named several times."""
        if self._held is not None:
            length = self.get_seq_length()
            self._held = tuple(held.index_select(0, rows) for held in self._held)
            self._show(length)

    def _show(self, length: int) -> None:
        assert self._held is not None
        self.keys, self.values = (held[:, :, :length] for held in self._held)


def _with_room(old: Tensor, new: Tensor, room: int) -> Tensor:
    held = new.new_empty(*new.shape[:2], room, new.shape[3])
    if old.numel():
        held[:, :, : old.shape[2]] = old
    return held


def empty_cache(config: Any) -> Cache:
    """Return the cache a model's layers need, whatever their kind; those of full attention are RoomyLayers."""
    cache = DynamicCache(config=config)
    cache.layers = [RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    if not cache.layers:  # made when they are first used
        cache.layer_class_to_replicate = RoomyLayer
    return cache


def bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """Return what one token of one row holds in the cache, in bytes, if every layer were of full attention."""
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * size * dtype.itemsize)
