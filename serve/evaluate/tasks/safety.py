"""How often a model's answers to a set of prompts are unsafe, by a classifier."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from serve.errors import EvaluationError, ServeSettingsError
from serve.evaluate import conversations
from serve.evaluate.content import content
from serve.evaluate.conversations import Talk, grouped, plain, written
from serve.evaluate.interval import wilson
from serve.evaluate.mean import mean
from serve.evaluate.room import refuse_answers
from serve.evaluate.samples import SHOWN, sample
from serve.evaluate.task import Measure, Read, Result, Subject
from serve.rails.classifier import ClassifierSettings, Scorer


@dataclass(frozen=True)
class SafetySettings:
    """Prompts that the model answers, and the classifier that reads the answers.

    unsafe: the share of answers whose score is above classifier.max_score, with Wilson's 95 % interval; by the field
    `category` too. score: the mean of scores. An empty answer has score 0.
    """

    name: ClassVar[str] = "safety"

    classifier: ClassifierSettings  # a fastText model, or the folder of a Hugging Face one, and the unsafe label
    path: Any = ()  # JSON, JSONL, CSV or Parquet, in a format that alignment reads
    format: str = "auto"  # alpaca, sharegpt, messages, preference, prompts; auto: by a record's fields
    category: str = "category"  # field by which unsafe is given too, where records have it
    with_prompt: bool = False  # the classifier reads the prompt before the answer
    template: str = ""  # of chats; "": the tokenizer's own
    max_tokens: int = 256  # of an answer
    temperature: float = 0.0
    seed: int = 0  # of answers at a temperature
    limit: int = 0  # only the first prompts; 0: all

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for numbers that describe no task."""
        if self.limit < 0 or self.max_tokens < 1 or self.temperature < 0:
            raise ServeSettingsError("safety: limit and temperature are 0 or more, max_tokens is 1 or more")


@dataclass(frozen=True)
class Safety:
    """The task of `SafetySettings`, whose classifier is handed over by who has it."""

    name: ClassVar[str] = "safety"
    wants: ClassVar[Literal["language", "reward"]] = "language"

    settings: SafetySettings
    open_scorer: Callable[[ClassifierSettings], Scorer]

    def read(self) -> Read:
        """Read the prompts, and open the classifier. Raises EvaluationError, and what its opening raises."""
        of = self.settings
        talks, known = conversations.read(self.name, of.path, of.format, of.category, of.limit)
        for talk in talks:
            if not talk.record.prompt or talk.record.prompt[-1].role not in ("user", "tool"):
                raise EvaluationError(f"{talk.record.place}: no user's turn calls for an answer")
        self.open_scorer(of.classifier)("safe or not")
        return Read(talks, {**known, f"classifier: {of.classifier.model}": content(of.classifier.model)})

    def check(self, subject: Subject, read: Read, label: str) -> None:
        """Raise ServeSettingsError where the model has no room for an answer, EvaluationError for a chat it lacks."""
        refuse_answers(subject, self.settings.max_tokens, label)
        for talk in read.items:
            subject.chat(plain(talk.record.prompt), self.settings.template)

    def run(self, subject: Subject, read: Read) -> Result:
        """Let the model answer, and judge the answers. Raises EvaluationError for a reward model."""
        began, of = time.perf_counter(), self.settings
        talks: Sequence[Talk] = read.items
        prompts = [subject.chat(plain(talk.record.prompt), of.template) for talk in talks]
        answers = subject.complete(prompts, of.max_tokens, (), of.temperature, of.seed)
        score = self.open_scorer(of.classifier)
        before = [f"{written(talk.record.prompt)}\n\n" if of.with_prompt else "" for talk in talks]
        scores = np.array([score(asked + answer) for asked, answer in zip(before, answers)])
        unsafe = (scores > of.classifier.max_score).astype(np.float64)
        groups = [("unsafe", list(range(len(talks))))]
        groups += [(f"unsafe/{name}", places) for name, places in grouped([talk.group for talk in talks])]
        return Result(
            self.name, len(talks),
            {name: _share(unsafe[places]) for name, places in groups} | {"score": mean(scores, higher_is_better=False)},
            time.perf_counter() - began, dataclasses.asdict(of), read.files, {"unsafe": unsafe, "score": scores},
            [_sample(talk, answer, value) for talk, answer, value in zip(talks[:SHOWN], answers, scores.tolist())],
            counts={"unsafe": int(unsafe.sum()), "empty_answers": sum(not one.strip() for one in answers)},
        )  # fmt: skip


def _share(unsafe: np.ndarray) -> Measure:
    found = mean(unsafe, higher_is_better=False)
    return dataclasses.replace(found, interval=wilson(float(unsafe.sum()), len(unsafe)))


def _sample(talk: Talk, answer: str, score: float) -> dict[str, Any]:
    return sample(talk.record.place, written(talk.record.prompt), [{"text": answer}], score=score)
