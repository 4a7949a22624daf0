"""A transformers model's forward pass over token sequences: log-probabilities of their last tokens, and greedy ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from align.backends.hf import attention as attentions
from align.backends.hf.batch import Inputs
from align.backends.hf.logprobs import token_logprobs
from align.backends.hf.network import Network
from serve.evaluate.local.attention import TREE, prepare
from serve.evaluate.local.tree import Row, rows

TOKENS = {"cpu": 2048, "cuda": 16384}  # of a forward pass
LOGITS_BYTES = {"cpu": 256 << 20, "cuda": 2 << 30}  # of a forward pass, float32

Answer = tuple[np.ndarray, np.ndarray]  # float32 (wanted,) log-probabilities in nats, bool (wanted,): the most likely


class Scorer(Network):
    """A causal language model that says how likely tokens are.

    Sequences that begin alike share what they begin with, where the model's attention is plainly causal; elsewhere
    they are rows of a batch, padded on the right, nothing shared.
    """

    def __init__(self, model: Any, tokens: int = 0):
        super().__init__(model, "lm")
        device, config = self.device, model.config.get_text_config(decoder=True)
        self.shares = model.config._attn_implementation == attentions.DOCUMENTS and not _windowed(config)
        if self.shares:
            model.set_attn_implementation(TREE)
        self.most_tokens = tokens or TOKENS.get(device.type, TOKENS["cpu"])
        self.most_logits = max(1, LOGITS_BYTES.get(device.type, LOGITS_BYTES["cpu"]) // (4 * config.vocab_size))

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def score(self, sequences: Sequence[np.ndarray], wanted: Sequence[int]) -> list[Answer]:
        """Return, for each sequence (length,) int64, what is said of its last `wanted` tokens, at most length - 1."""
        read = [one[:-1] for one in sequences]
        made: list[Answer | None] = [None] * len(sequences)
        with torch.inference_mode():
            for numbers, places, logits in self._passes(read, wanted):
                cells, inverse = np.unique(np.concatenate(places), return_inverse=True)
                labels = np.concatenate([sequences[n][-wanted[n] :] for n in numbers])
                found = self._answers(logits(torch.from_numpy(cells).to(self.device)), inverse, labels)
                bounds = np.cumsum([0, *(wanted[n] for n in numbers)])
                for n, low, high in zip(numbers, bounds, bounds[1:]):
                    made[n] = found[0][low:high], found[1][low:high]
        return [one for one in made if one is not None]

    def _answers(self, logits: Tensor, inverse: np.ndarray, labels: np.ndarray) -> Answer:
        """Return log-probabilities and greedy ones of labels (m,), which stand at rows `inverse` (m,) of logits."""
        at = torch.from_numpy(inverse).to(logits.device)
        label = torch.from_numpy(labels).to(logits.device)
        best = logits.argmax(-1)[at] == label
        if len(at) != len(logits) or not bool((at == torch.arange(len(at), device=at.device)).all()):
            logits = logits[at]
        return token_logprobs(logits, label, 1.0)[0].cpu().numpy(), best.cpu().numpy()

    def _passes(
        self, read: Sequence[np.ndarray], wanted: Sequence[int]
    ) -> Iterator[tuple[list[int], list[np.ndarray], Any]]:
        """Yield (which sequences, where their wanted tokens stand, cells -> logits) of each forward pass."""
        if self.shares:
            for row in rows(read, wanted, self.most_tokens, self.most_logits):
                yield row.numbers, row.places, lambda cells, row=row: self._tree(row, cells)
            return
        for batch in self._batches(read, wanted):
            width = max(len(read[n]) for n in batch)
            places = [at * width + np.arange(len(read[n]))[-wanted[n] :] for at, n in enumerate(batch)]
            yield batch, places, lambda cells, batch=batch, width=width: self._padded(read, batch, width, cells)

    def _batches(self, read: Sequence[np.ndarray], wanted: Sequence[int]) -> Iterator[list[int]]:
        batch: list[int] = []
        asked = 0
        for n in sorted(range(len(read)), key=lambda n: (-len(read[n]), read[n].tobytes())):
            if batch and (
                (len(batch) + 1) * len(read[batch[0]]) > self.most_tokens or asked + wanted[n] > self.most_logits
            ):
                yield batch
                batch, asked = [], 0
            batch.append(n)
            asked += wanted[n]
        if batch:
            yield batch

    def _tree(self, row: Row, cells: Tensor) -> Tensor:
        tokens, positions = (torch.from_numpy(one)[None].to(self.device) for one in (row.tokens, row.positions))
        dtype = next(self.model.parameters()).dtype
        self._cells = cells
        try:
            return self.inner(
                input_ids=tokens, position_ids=positions, calls=prepare(row.calls, dtype, self.device), use_cache=False,
                attention_mask=tokens.new_ones((1, 1, 1, 1), dtype=torch.bool),  # 4 dimensions: transformers makes none
            ).logits[0]  # fmt: skip
        finally:
            self._cells = None

    def _padded(self, read: Sequence[np.ndarray], batch: Sequence[int], width: int, cells: Tensor) -> Tensor:
        tokens = np.zeros((len(batch), width), np.int64)
        for at, n in enumerate(batch):
            tokens[at, : len(read[n])] = read[n]  # causal attention never looks at what stands behind
        there = torch.from_numpy(tokens).to(self.device)
        return self(Inputs(there, None, None, cells, cells))


def _windowed(config: Any) -> bool:
    return bool(getattr(config, "sliding_window", None)) and getattr(config, "use_sliding_window", True)
