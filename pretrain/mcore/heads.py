"""The model for whole sequences: one row of many documents in, a vector for each token out, of any head.

It differs from pretraining's in three things. Rotary angles are those of positions in a document, so that a number
does not depend on where a row has the document. What the head gives is not copied into another order. And the head may
be a small linear layer in the output layer's place: a value a token, or scores.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.models.gpt import GPTModel
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from megatron.core.transformer.transformer_config import TransformerConfig


class NumberHead(torch.nn.Module):
    """A linear layer to a few numbers a token, in float32, whole on every tensor-parallel rank; no bias.

    Under sequence parallelism each rank has its part of the tokens, so gradients of the weight are parts of a sum:
    the mark makes Megatron add them up. The numbers are gathered, which are fewer than hidden states.
    """

    def __init__(self, config: TransformerConfig, outputs: int):
        super().__init__()
        self.sequence = config.sequence_parallel
        device = torch.cuda.current_device()
        self.weight = torch.nn.Parameter(
            torch.empty(outputs, config.hidden_size, dtype=config.params_dtype, device=device)
        )
        self.weight.sequence_parallel = config.sequence_parallel  # type: ignore[attr-defined]

    def forward(self, hidden: torch.Tensor, weight: Any = None, runtime_gather_output: Any = None) -> tuple[Any, None]:
        numbers = F.linear(hidden.float(), self.weight.float())
        if self.sequence:
            numbers = gather_from_sequence_parallel_region(numbers, tensor_parallel_output_grad=False)
        return numbers, None


class SequenceModel(GPTModel):
    """Tokens (1, N) to what the head gives: (N, 1, vocabulary of this rank), or (N, 1, outputs).

    outputs: of a NumberHead; 0: the vocabulary. A stage that is not the last gives hidden states.
    """

    def __init__(self, *given: Any, outputs: int = 0, share_embeddings_and_output_weights: bool, **settings: Any):
        tied = share_embeddings_and_output_weights and not outputs
        super().__init__(*given, share_embeddings_and_output_weights=tied, **settings)
        self.wanted: torch.Tensor | None = None  # int64: the tokens the head is asked for; None: all
        if outputs and self.post_process:
            self.output_layer = NumberHead(self.config, outputs)

    def _preprocess(self, input_ids: Any, position_ids: Any, **given: Any) -> tuple[Any, ...]:
        hidden, rotary, *rest = super()._preprocess(input_ids, position_ids, **given)
        if rotary is not None:
            angles = position_ids[0].float()[:, None] * self.rotary_pos_emb.inv_freq.to(position_ids.device)
            rotary = torch.cat((angles, angles), -1)[:, None, None, :]  # (N, 1, 1, head size)
        recomputed = self.training and self.config.recompute_granularity == "full" and torch.is_grad_enabled()
        if recomputed and hidden is not None and not hidden.requires_grad:
            hidden.requires_grad_()  # a frozen embedding's; else recomputed layers would give adapters no gradients
        return hidden, rotary, *rest

    def _postprocess(self, hidden_states: torch.Tensor, **_: Any) -> torch.Tensor:
        if not self.post_process:
            return hidden_states
        shared = self.shared_embedding_or_output_weight() if self.share_embeddings_and_output_weights else None
        if self.wanted is None:
            return self.output_layer(hidden_states, weight=shared)[0]
        if self.config.sequence_parallel:
            hidden_states = gather_from_sequence_parallel_region(hidden_states, tensor_parallel_output_grad=False)
        self.output_layer.sequence_parallel = False  # its input is whole now
        try:
            return self.output_layer(hidden_states[self.wanted], weight=shared)[0]
        finally:
            self.output_layer.sequence_parallel = self.config.sequence_parallel
