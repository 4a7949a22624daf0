"""What a task is given and what it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

Pair = tuple[Sequence[int], Sequence[int]]  # context and continuation, in tokens
EXAMPLES = "examples: "  # stands before the names of files that are no questions
Score = tuple[float, bool]  # log-probability of a continuation (nats), and whether greedy decoding gives it


@dataclass(frozen=True)
class Measure:
    """A number of a task, with what is known of its error."""

    value: float
    stderr: float | None  # standard error of the mean over items; None where there is none
    higher_is_better: bool | None = True  # None: neither is, such as of a length
    interval: tuple[float, float] | None = None  # of 95 %; None: value +- 1.96 stderr


@dataclass(frozen=True)
class Read:
    """What a task's files hold, checked: nothing of it can be wrong any more."""

    items: Sequence[Any]
    files: Mapping[str, str]  # what was read, in order: name, with its role before it where it has one -> sha256


@dataclass(frozen=True)
class Result:
    """What a task found of one model."""

    task: str
    items: int
    measures: Mapping[str, Measure]  # acc, acc_norm, exact_match, bits_per_byte, ...
    seconds: float
    settings: Mapping[str, Any]
    files: Mapping[str, str]  # as Read has it
    values: Mapping[str, np.ndarray] = field(default_factory=dict)  # measure -> (items,), for paired comparison
    samples: Sequence[Mapping[str, Any]] = ()  # some items with what the model did
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)  # measure -> (items,), where its mean is weighted
    counts: Mapping[str, int] = field(default_factory=dict)  # what a reader must know: truncated, ...


class Subject(Protocol):
    """The model under test."""

    name: str
    kind: Literal["language", "reward"]
    positions: int  # tokens it can read at once
    prefix: int  # the token that stands before a text without context: begin of text, or else end of text

    def encode(self, texts: Sequence[str], special: bool = True) -> list[list[int]]:
        """Return the tokens of texts, with the special tokens the tokenizer itself adds, or without any."""
        ...

    def loglikelihoods(self, pairs: Sequence[Pair]) -> list[Score]:
        """Return, for each (context, continuation), neither of them empty, the sum of log-probabilities of the
        continuation, and whether it is what greedy decoding gives. A context that is too long loses its first tokens.
        """
        ...

    def token_logprobs(self, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Return, for each sequence (length,), float32 (length - 1,): log-probability of each token after the first."""
        ...

    def complete(self, prompts: Sequence[str], max_tokens: int, stop: Sequence[str], temperature: float = 0.0,
                 seed: int = 0) -> list[str]:  # fmt: skip
        """Return a completion of each prompt, cut before the first stop string.

        A prompt that is too long loses its first tokens. Equal prompts get different completions at a temperature.
        """
        ...

    def chat(self, messages: Sequence[Mapping[str, Any]], template: str = "") -> str:
        """Return a conversation as the text that an answer follows, for `complete`.

        template: of align.data.template; "": the tokenizer's own. Raises EvaluationError where it cannot be written.
        """
        ...

    def rewards(self, pairs: Sequence[tuple[Sequence[Mapping[str, Any]], str]]) -> list[float]:
        """Return a reward model's score of each (messages, answer). Raises EvaluationError where it is none."""
        ...


class Task(Protocol):
    """A frozen dataclass: its fields are its whole configuration, the files it reads included."""

    name: ClassVar[str]
    wants: ClassVar[Literal["language", "reward"]]  # the kind of model it measures

    def read(self) -> Read:
        """Read the files. Raises EvaluationError, in one line with file, line and field, for what they lack."""
        ...

    def check(self, subject: Subject, read: Read, label: str) -> None:
        """Look, before any weight is read, whether the model can be asked all this. Raises EvaluationError and
        ServeSettingsError, which name the task by its label.
        """
        ...

    def run(self, subject: Subject, read: Read) -> Result:
        """Measure a model on what was read. Raises EvaluationError for a model that the task cannot measure."""
        ...
