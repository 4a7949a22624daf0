"""The one interface to a model that is aligned, its reference, its critic and its reward model.

All numbers that a method sees are float32, of whole sequences, and do not depend on how a batch was laid out or on
how many ranks share the model. Every call is made by all ranks of the policy together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from align.batch import TokenBatch

Head = Literal["lm", "value", "reward"]  # next token; a number a token; numbers a sequence
Part = Literal["weights", "optimizer"]  # what can be moved to host memory
Need = Literal["logprobs", "entropy", "candidates", "values", "scores"]


@dataclass(frozen=True)
class Outputs:
    """What a forward pass gives for a micro-batch of n sequences; what was not needed is None.

    Past a sequence's end entries are 0; in a training step they may be 0 wherever the batch's mask is False.
    """

    logprobs: Tensor | None = None  # float32 (n, t), nats: of token i + 1, at the policy's temperature
    entropy: Tensor | None = None  # float32 (n, t), nats: of the distribution of token i + 1
    candidates: Tensor | None = None  # float32 (n, t, k): log-probabilities of batch.fields["candidates"] (n, t, k)
    values: Tensor | None = None  # float32 (n, t): of the state before token i + 1; head "value"
    scores: Tensor | None = None  # float32 (n, outputs): at the last token; head "reward"
    top: Tensor | None = None  # int64 (n, t, k): the k most likely tokens, where logprobs(top_k=k) asked for them


class Loss(Protocol):
    """What a method minimises: sums over a micro-batch, divided by counts of the whole global batch.

    Because the counts are global, no split into micro-batches or ranks changes the loss.
    """

    @property
    def needs(self) -> frozenset[Need]:
        """What the forward pass has to give."""
        ...

    def __call__(
        self, outputs: Outputs, batch: TokenBatch, counts: Mapping[str, float]
    ) -> tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]:
        """Return this micro-batch's share of the loss, and metrics as name -> (sum, count), detached."""
        ...


@dataclass(frozen=True)
class StepResult:
    """What a training step came to; the same on every rank."""

    loss: float
    grad_norm: float  # L2 over all trained parameters, before clipping
    lr: float
    applied: bool  # False: loss or norm was not finite, and the weights are as they were
    metrics: Mapping[str, float]  # means over the global batch


class Policy(Protocol):
    """A model on one or more ranks, with an optimizer where it is trained."""

    head: Head
    version: int  # of the weights: one more after each applied step
    data_rank: int  # among `data_ranks` groups of ranks that take different micro-batches
    data_ranks: int

    def logprobs(
        self, batches: Sequence[TokenBatch], *, entropy: bool = False, top_k: int = 0, candidates: bool = False
    ) -> list[Outputs]:
        """Return log-probabilities without gradients, on the CPU; top_k: and the most likely tokens with theirs."""
        ...

    def values(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        """Return values (n, t) without gradients, on the CPU. Head "value"."""
        ...

    def scores(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        """Return scores (n, outputs) without gradients, on the CPU. Head "reward"."""
        ...

    def train_step(self, microbatches: Sequence[TokenBatch], loss: Loss, counts: Mapping[str, float]) -> StepResult:
        """Take one optimizer step on the sum of `loss` over the micro-batches of all data ranks.

        Every data rank gives equally many micro-batches; where it has fewer it gives `align.layout.empty()`.
        """
        ...

    def reference(self) -> AbstractContextManager[None]:
        """Compute, while the block runs, what the model gave before training: adapters are off.

        Raises ModelError where the policy has none: then the reference is a policy of its own.
        """
        ...

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every weight whole, by its Hugging Face name, adapters merged; one at a time, all ranks together."""
        ...

    def offload(self, *parts: Part) -> None:
        """Move parts (all where none is named) to host memory."""
        ...

    def onload(self, *parts: Part) -> None:
        """Move parts back to the device; all where none is named."""
        ...

    def save(self, folder: str) -> None:
        """Write all that goes on from here needs into an empty folder: weights, optimizer, schedule, random numbers.

        Each rank writes files of its own name. Of a policy with adapters, the adapters alone.
        """
        ...

    def load(self, folder: str) -> None:
        """Go on from what `save` wrote, on as many ranks. Raises CheckpointError where it does not fit."""
        ...

    def export(self, folder: str) -> None:
        """Write a Hugging Face folder that transformers loads, adapters merged; beside it adapter/ in peft's format."""
        ...
