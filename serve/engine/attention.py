"""Attention over a block cache, in torch: gathered from blocks, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def single(queries: Tensor, keys: Tensor, values: Tensor, tables: Tensor, lengths: Tensor) -> Tensor:
    """Return what the last token of each sequence attends to: (d, groups, heads, size).

    queries (d, groups, heads, size); keys, values (blocks, block tokens, groups, size); tables (d, w) blocks of each
    sequence, of which the first `lengths` (d,) tokens count. Cost: copies w blocks of keys and values a sequence.
    """
    count, width = tables.shape
    flat = tables.flatten()
    # (d, w x block tokens, groups, size) seen as (d, groups, tokens, size)
    k, v = (
        cache.index_select(0, flat).view(count, width * cache.shape[1], *cache.shape[2:]).transpose(1, 2)
        for cache in (keys, values)
    )
    seen = torch.arange(k.shape[2], device=lengths.device) < lengths[:, None]
    return F.scaled_dot_product_attention(queries, k, v, attn_mask=seen[:, None, None])


def chunked(queries: Tensor, keys: Tensor, values: Tensor, table: Tensor, first: int) -> Tensor:
    """Return what each token of a chunk attends to: itself, those before it in the chunk, those read before.

    queries (t, groups, heads, size) of the chunk's tokens, whose first position is `first`; keys, values (blocks,
    block tokens, groups, size), with the chunk's own written already; table: the sequence's blocks.
    """
    count, heads = queries.shape[0], queries.shape[2]
    block, length = keys.shape[1], first + count
    table = table[: -(-length // block)]
    k, v = (
        cache.index_select(0, table).flatten(0, 1)[:length].transpose(0, 1)[:, None].expand(-1, heads, -1, -1)
        for cache in (keys, values)
    )
    mask = None
    if first:
        steps = torch.arange(length, device=keys.device)
        mask = steps <= steps[first:, None]
    made = F.scaled_dot_product_attention(queries.permute(1, 2, 0, 3), k, v, attn_mask=mask, is_causal=mask is None)
    return made.permute(2, 0, 1, 3)
