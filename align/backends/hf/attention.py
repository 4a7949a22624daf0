"""Attention of packed rows: each sequence by itself, in whatever kernel torch has for it.

transformers (5.24) finds packed rows by positions that begin anew, and masks (tokens x tokens) for them: of a row of
4096 tokens most of the work is thrown away. Here each document is a causal call of its own, without a mask. On a GPU
with flash-attn its variable-length kernel does the same; transformers calls it by itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

DOCUMENTS = "millrace_documents"  # the name transformers knows it by


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    documents: list[int] | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend within each of `documents`, lengths that fill one row; without them as "sdpa" does.

    query, key, value: (1, heads, tokens, head_dim). Returns (1, tokens, heads, head_dim).
    """
    if documents is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)  # type: ignore[no-any-return]
    window = options.get("sliding_window")
    parts = []
    for q, k, v in zip(*(x.split(documents, 2) for x in (query, key, value)), strict=True):
        length = q.shape[2]
        mask = _band(length, window, query.device) if window and length > window else None
        parts.append(sdpa_attention_forward(module, q, k, v, mask, **options)[0])
    return torch.cat(parts, 1), None


def _band(length: int, window: int, device: torch.device) -> Tensor:
    """Return bool (1, 1, length, length): which keys a query sees, itself and the window - 1 before it."""
    at = torch.arange(length, device=device)
    behind = at[:, None] - at
    return ((behind >= 0) & (behind < window))[None, None]


AttentionInterface.register(DOCUMENTS, attend)
AttentionMaskInterface.register(DOCUMENTS, sdpa_mask)


def choose(kind: type, config: Any, device: torch.device, dtype: torch.dtype) -> str | None:
    """Return the attention a model class is opened with: flash-attn's, ours, or None for transformers' own choice.

    Ours takes causal layers, with a window or without, whose scores nothing else is done to.
    """
    from transformers.utils import is_flash_attn_2_available

    layers = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    chunked = getattr(config, "attention_chunk_size", None)
    able: Any = kind
    if device.type == "cuda" and dtype == torch.bfloat16 and is_flash_attn_2_available() and able._supports_flash_attn:
        return "flash_attention_2"
    if able._supports_attention_backend and able._supports_sdpa and not layers and not chunked:
        return DOCUMENTS
    return None
