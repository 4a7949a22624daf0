"""What a task is given and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np


@dataclass(frozen=True)
class Measure:
    """A number of a task, with what is known of its error."""

    value: float
    stderr: float | None  # standard error of the mean over items; None where there is none
    higher_is_better: bool = True


@dataclass(frozen=True)
class Result:
    """What a task found of one model."""

    task: str
    items: int
    measures: Mapping[str, Measure]  # acc, acc_norm, exact_match, bits_per_byte, ...
    seconds: float
    settings: Mapping[str, Any]
    files: Mapping[str, str]  # what was read: name -> sha256
    values: Mapping[str, np.ndarray] = field(default_factory=dict)  # measure -> (items,), for paired comparison
    samples: Sequence[Mapping[str, Any]] = ()  # some items with what the model did


class Subject(Protocol):
    """The model under test."""

    name: str

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text, without special tokens but for those the tokenizer itself adds."""
        ...

    def loglikelihoods(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[tuple[float, bool]]:
        """Return, for each (context, continuation) in tokens, the sum of log-probabilities of the continuation
        (nats), and whether it is what greedy decoding gives."""
        ...

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Return, for each sequence (length,), float32 (length - 1,): log-probability of each token after the first."""
        ...

    def complete(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str], temperature: float = 0.0,
                 seed: int = 0) -> list[str]:  # fmt: skip
        """Return a completion of each prompt, cut before the first stop string."""
        ...

    def rewards(self, pairs: Sequence[tuple[Sequence[Mapping[str, Any]], str]]) -> list[float]:
        """Return a reward model's score of each (messages, answer). Raises EvaluationError where it is none."""
        ...


class Task(Protocol):
    """A frozen dataclass: its fields are its whole configuration, the files it reads included."""

    name: ClassVar[str]

    def run(self, subject: Subject) -> Result:
        """Measure a model. Raises EvaluationError, before the model runs, for files that lack what is needed."""
        ...
