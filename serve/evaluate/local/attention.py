"""Attention of a row of sequences that share beginnings: each call sees its own keys."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from serve.evaluate.local.tree import Call

TREE = "millrace_tree"  # the name transformers knows it by

Prepared = tuple[int, Tensor | None, Tensor | None]  # tokens, int64 (keys,) or None: the tokens' own, mask or None


def prepare(calls: list[Call], dtype: torch.dtype, device: torch.device) -> list[Prepared]:
    """Return what `attend` needs of calls, once for all layers: masks are 0 and -inf, (1, 1, tokens, keys)."""
    made: list[Prepared] = []
    for call in calls:
        spans, mask = call.keys()
        keys = torch.cat([torch.arange(*span, device=device) for span in spans]) if len(spans) > 1 else None
        shown = None
        if mask is not None:
            seen = torch.from_numpy(mask).to(device)
            shown = torch.zeros(seen.shape, dtype=dtype, device=device).masked_fill_(~seen, float("-inf"))[None, None]
        made.append((call.stop - call.start, keys, shown))
    return made


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    calls: list[Prepared] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend call by call; without calls as "sdpa" does.

    query, key, value: (1, heads, tokens, head_dim). Returns (1, tokens, heads, head_dim).
    """
    if calls is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    parts, at = [], 0
    for tokens, keys, mask in calls:
        if keys is None:
            k, v = key[:, :, at : at + tokens], value[:, :, at : at + tokens]
        else:
            k, v = key.index_select(2, keys), value.index_select(2, keys)
        parts.append(sdpa_attention_forward(module, query[:, :, at : at + tokens], k, v, mask, **options)[0])
        at += tokens
    return torch.cat(parts, 1), None


AttentionInterface.register(TREE, attend)
AttentionMaskInterface.register(TREE, sdpa_mask)
