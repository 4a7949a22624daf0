"""Tasks whose answers a model writes: a prompt in, a text out, and what that is worth."""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from serve.errors import ServeSettingsError
from serve.evaluate import files, shots
from serve.evaluate.files import Item
from serve.evaluate.mean import share
from serve.evaluate.room import refuse_answers
from serve.evaluate.samples import CUT, SHOWN, sample
from serve.evaluate.task import EXAMPLES, Read, Result, Subject


@dataclass(frozen=True)
class Prompt:
    """One item: what the model reads, and the record that says what is right."""

    text: str
    answer: str  # as an example shows it
    record: Mapping[str, Any]
    before: str = ""  # the examples
    place: str = field(default="", compare=False)

    def solved(self) -> str:
        """Return it as an example: with its answer, and an empty line."""
        return f"{self.text} {self.answer}\n\n"


@dataclass(frozen=True)
class Generative(ABC):
    """A task with written answers; a subclass says how a record is asked, and what an answer is worth."""

    name: ClassVar[str] = ""
    wants: ClassVar[Literal["language", "reward"]] = "language"
    stop: ClassVar[tuple[str, ...]] = ()  # strings that end an answer, beside the model's end tokens

    path: Any = ()  # JSON, JSONL, CSV, TSV or Parquet files, globs; one or a list
    shots: int = 0  # solved examples before each prompt
    examples: Any = ()  # files they are drawn from; the same as path: never the prompt itself
    seed: int = 1234  # of the draw of examples, and of answers at a temperature
    limit: int = 0  # only the first items; 0: all
    max_tokens: int = 256  # of an answer

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for numbers that describe no task."""
        if self.shots < 0 or self.limit < 0 or self.max_tokens < 1:
            raise ServeSettingsError(f"{self.name}: shots and limit are 0 or more, max_tokens is 1 or more")
        if self.shots and not self.examples:
            raise ServeSettingsError(
                f"{self.name}.shots is {self.shots}, but no examples are named: {self.name}.examples"
            )

    @abstractmethod
    def ask(self, item: Item) -> Prompt:
        """Return a record as a prompt. Raises EvaluationError."""
        ...

    @abstractmethod
    def judge(self, prompts: Sequence[Prompt], texts: Sequence[Sequence[str]]) -> dict[str, list[float]]:
        """Return, by measure, what the answers to each prompt are worth."""
        ...

    @property
    def drawn(self) -> tuple[int, float]:
        """Return how many answers a prompt gets, and at which temperature: one, the most likely tokens."""
        return 1, 0.0

    def read(self) -> Read:
        """Read the files and put examples before each prompt. Raises EvaluationError."""
        items, known = files.read(self.name, self.path)
        prompts = [self._asked(item) for item in items[: self.limit or None]]
        pool: list[Prompt] = []
        same = False
        if self.shots:
            same = files.listed(self.name, self.examples) == files.listed(self.name, self.path)
            others, hashed = (items, {}) if same else files.read(self.name, self.examples)
            pool = [self._asked(item) for item in others]
            known |= {EXAMPLES + name: sum_ for name, sum_ in hashed.items()}
        drawn = shots.drawn(self.name, prompts, pool, self.shots, self.seed, "random", same)
        made = [
            dataclasses.replace(one, before="".join(example.solved() for example in found))
            for one, found in zip(prompts, drawn)
        ]
        return Read(made, known)

    def _asked(self, item: Item) -> Prompt:
        return dataclasses.replace(self.ask(item), place=item.place)

    def check(self, subject: Subject, read: Read, label: str) -> None:
        """Raise ServeSettingsError where the model has no room for an answer."""
        refuse_answers(subject, self.max_tokens, label)

    def run(self, subject: Subject, read: Read) -> Result:
        """Let the model answer every prompt, and judge the answers."""
        began = time.perf_counter()
        prompts: Sequence[Prompt] = read.items
        count, temperature = self.drawn
        asked = [one.before + one.text for one in prompts]
        written = subject.complete(
            [one for one in asked for _ in range(count)], self.max_tokens, self.stop, temperature, self.seed
        )
        texts = [written[n * count : (n + 1) * count] for n in range(len(prompts))]
        values = {name: np.array(found) for name, found in self.judge(prompts, texts).items()}
        room = subject.positions - self.max_tokens
        return Result(
            self.name, len(prompts), {name: share(found) for name, found in values.items()},
            time.perf_counter() - began, dataclasses.asdict(self), read.files, values,
            [_sample(prompts[n], texts[n], {name: float(found[n]) for name, found in values.items()})
             for n in range(min(len(prompts), SHOWN))],
            counts={"truncated": sum(len(one) > room for one in subject.encode(asked))},
        )  # fmt: skip


def _sample(prompt: Prompt, texts: Sequence[str], worth: Mapping[str, float]) -> dict[str, Any]:
    return sample(prompt.place, prompt.text, [{"text": one} for one in texts], right=prompt.answer[:CUT], **worth)
