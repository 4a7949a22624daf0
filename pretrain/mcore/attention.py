"""Attention inside documents, on torch's own kernels: packing, context parallelism, CPU and GPU.

What Megatron passes through its layers as `attention_mask` is here `cu_seqlens`, int32 (documents + 1,): the
bounds of documents in the b * s tokens of the micro-batch, row after row. Each document attends to itself alone,
causally. Rotary positions may run on through a row: they only matter by their differences. In decoding it is a
`pretrain.mcore.inference.Cache`, which keeps keys and values between passes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from megatron.core import parallel_state, tensor_parallel
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.transformer_config import TransformerConfig
from torch.nn.functional import scaled_dot_product_attention

from pretrain.mcore.inference import Cache


class DocumentAttention(MegatronModule):
    """Causal attention within documents; queries (s, b, heads, d), keys and values (s, b, groups, d).

    Without context parallelism on a GPU in half precision: torch's variable-length flash attention. Else a
    call a document, or under context parallelism a call a document and chunk, on keys and values gathered
    from the group (Llama 3, arXiv:2407.21783, section 3.3.2), so that any document bounds are allowed.
    """

    def __init__(
        self,
        config: TransformerConfig,
        layer_number: int,
        attn_mask_type: Any,
        attention_type: str,
        attention_dropout: float | None = None,
        softmax_scale: float | None = None,
        **_: Any,
    ):
        super().__init__(config=config)
        self.layer_number, self.scale = layer_number, softmax_scale
        self.dropout = config.attention_dropout if attention_dropout is None else attention_dropout
        self.group = parallel_state.get_context_parallel_group() if config.context_parallel_size > 1 else None

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | Cache,
        **_: Any,
    ) -> torch.Tensor:
        if isinstance(attention_mask, Cache):
            return attention_mask.attend(self, query, key, value)
        cu_seqlens, dropout = attention_mask, self.dropout if self.training else 0.0
        length, batch = query.shape[:2]
        if self.group is None and query.is_cuda and query.dtype != torch.float32 and not dropout:
            return self._flash(query, key, value, cu_seqlens)
        query, key, value = (x.permute(1, 2, 0, 3) for x in (query, key, value))  # (b, heads, s, d)
        chunks = [(0, length)]
        if self.group is not None:
            key, value = (_GatherZigzag.apply(x, self.group) for x in (key, value))
            half, ranks, rank = length // 2, self.group.size(), self.group.rank()
            chunks = [(start * half, start * half + half) for start in (rank, 2 * ranks - 1 - rank)]
        rows = []
        for row, documents in enumerate(_rows(cu_seqlens.tolist(), key.shape[2])):
            pieces, at = [], 0
            for low, high in chunks:
                for start, end in documents:
                    first, last = max(start, low), min(end, high)
                    if first < last:
                        q = query[row : row + 1, :, at : at + last - first]
                        k, v = (x[row : row + 1, :, start:last] for x in (key, value))
                        pieces.append(_causal(q, k, v, self.scale, dropout))
                        at += last - first
            rows.append(torch.cat(pieces, 2))
        out = torch.cat(rows).permute(2, 0, 1, 3)  # (s, b, heads, d)
        return out.reshape(length, batch, -1)

    def _flash(self, query: Any, key: Any, value: Any, cu_seqlens: torch.Tensor) -> torch.Tensor:
        from torch.nn.attention.varlen import varlen_attn

        length, batch, heads, _ = query.shape
        flat = [x.transpose(0, 1).flatten(0, 1) for x in (query, key, value)]  # (b * s, heads, d)
        out = varlen_attn(*flat, cu_seqlens, cu_seqlens, length, length, scale=self.scale, window_size=(-1, 0),
                          enable_gqa=key.shape[2] != heads)  # fmt: skip
        return out.view(batch, length, -1).transpose(0, 1).contiguous()


def _rows(bounds: list[int], length: int) -> Iterator[list[tuple[int, int]]]:
    """Cut bounds of documents into rows: [0, 3, 8, 12, 16], 8 -> [(0, 3), (3, 8)], [(0, 4), (4, 8)]."""
    row: list[tuple[int, int]] = []
    for start, end in itertools.pairwise(bounds):
        low = start % length
        row.append((low, low + end - start))
        if end % length == 0:
            yield row
            row = []


def _causal(q: Any, k: Any, v: Any, scale: float | None, dropout: float) -> torch.Tensor:
    """Attend with queries that are the last of the keys: all of them, or those of a chunk."""
    if dropout:  # each tensor-parallel rank has heads of its own, and so masks of its own
        with tensor_parallel.get_cuda_rng_tracker().fork():
            return _attended(q, k, v, scale, dropout)
    return _attended(q, k, v, scale, dropout)


def _attended(q: Any, k: Any, v: Any, scale: float | None, dropout: float) -> torch.Tensor:
    gqa, short, long = q.shape[1] != k.shape[1], q.shape[2], k.shape[2]
    if short == long:
        return scaled_dot_product_attention(q, k, v, None, dropout, short > 1, scale=scale, enable_gqa=gqa)
    mask = torch.ones(short, long, dtype=torch.bool, device=q.device).tril(long - short)
    return scaled_dot_product_attention(q, k, v, mask, dropout, scale=scale, enable_gqa=gqa)


class _GatherZigzag(torch.autograd.Function):
    """All-gather the sequence (dimension 2) and put Megatron's zigzag back in order.

    Of 2 n chunks rank r holds r and 2 n - 1 - r, so that causal attention is the same work for all.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, group: Any) -> torch.Tensor:
        ctx.group = group
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(group.size())]
        torch.distributed.all_gather(parts, x.contiguous(), group=group)
        halves = [part.chunk(2, 2) for part in parts]
        return torch.cat([*(low for low, _ in halves), *(high for _, high in reversed(halves))], 2)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        ranks, rank = ctx.group.size(), ctx.group.rank()
        grad = grad.contiguous()
        torch.distributed.all_reduce(grad, group=ctx.group)
        chunks = grad.chunk(2 * ranks, 2)
        return torch.cat([chunks[rank], chunks[2 * ranks - 1 - rank]], 2), None
