"""Multiple choice by log-likelihood: the answer whose text the model finds most likely after the question."""

from __future__ import annotations

import dataclasses
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from serve.errors import EvaluationError, ServeSettingsError
from serve.evaluate import files, shots
from serve.evaluate.files import Item
from serve.evaluate.mean import share
from serve.evaluate.pairs import encoded, refuse_long, scored, truncated
from serve.evaluate.samples import CUT, SHOWN, sample
from serve.evaluate.task import EXAMPLES, Measure, Read, Result, Subject


@dataclass(frozen=True)
class Question:
    """One item as the model meets it: answer n is continuation n after context n, or after the only one."""

    contexts: tuple[str, ...]  # one; or one an answer, where answers stand inside the question
    endings: tuple[str, ...]  # one an answer; or one, where contexts differ
    choices: tuple[str, ...]  # the answers, whose lengths acc_norm divides by
    gold: int
    group: str = ""  # items that are also averaged by themselves; MMLU's subject
    description: str = ""  # what stands before the examples
    place: str = field(default="", compare=False)

    def pair(self, answer: int) -> tuple[str, str]:
        """Return the context and the continuation of an answer."""
        return self.contexts[answer % len(self.contexts)], " " + self.endings[answer % len(self.endings)]

    def solved(self) -> str:
        """Return it as an example: with the right answer, and an empty line."""
        return "".join(self.pair(self.gold)) + "\n\n"


@dataclass(frozen=True)
class Asked:
    """A question and the examples that stand before it."""

    question: Question
    before: str

    def pairs(self) -> list[tuple[str, str]]:
        """Return the (context, continuation) of each answer."""
        texts = [self.question.pair(answer) for answer in range(len(self.question.choices))]
        return [(self.before + context, rest) for context, rest in texts]


@dataclass(frozen=True)
class Choice(ABC):
    """A multiple-choice task; a subclass says how a record of its files is asked.

    acc counts the answer with the highest log-probability; acc_norm that with the highest per character of its text,
    acc_bytes per UTF-8 byte. The first of equal ones is taken. Prompts, examples and scores are those of
    lm-evaluation-harness 0.4.13's task of this name.
    """

    name: ClassVar[str] = ""
    wants: ClassVar[Literal["language", "reward"]] = "language"
    order: ClassVar[shots.Order] = "random"
    counted: ClassVar[tuple[str, ...]] = ("acc", "acc_norm")

    path: Any = ()  # JSON, JSONL, CSV, TSV or Parquet files, globs; one or a list
    shots: int = 0  # solved examples before each question
    examples: Any = ()  # files they are drawn from; the same as path: never the question itself
    seed: int = 1234  # of the draw
    limit: int = 0  # only the first items; 0: all

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for numbers that describe no task."""
        if self.shots < 0 or self.limit < 0:
            raise ServeSettingsError(f"{self.name}: shots and limit are 0 or more")
        if self.shots and not self.examples:
            raise ServeSettingsError(
                f"{self.name}.shots is {self.shots}, but no examples are named: {self.name}.examples"
            )

    @abstractmethod
    def ask(self, item: Item) -> Question:
        """Return a record as a question. Raises EvaluationError."""
        ...

    def columns(self) -> tuple[str, ...]:
        """Return the columns of CSV files without a first line that names them; none where it does."""
        return ()

    def read(self) -> Read:
        """Read the files and put examples before each question. Raises EvaluationError."""
        items, known = files.read(self.name, self.path, self.columns())
        questions = [self._asked(item) for item in items[: self.limit or None]]
        pool: list[Question] = []
        same = False
        if self.shots:
            same = files.listed(self.name, self.examples) == files.listed(self.name, self.path)
            others, hashed = (items, {}) if same else files.read(self.name, self.examples, self.columns())
            pool = [self._asked(item) for item in others]
            known |= {EXAMPLES + name: sum_ for name, sum_ in hashed.items()}
        return Read([Asked(one, before) for one, before in zip(questions, self._before(questions, pool, same))], known)

    def _asked(self, item: Item) -> Question:
        made = self.ask(item)
        if len(made.choices) < 2:
            raise EvaluationError(f"{item.place}: {len(made.choices)} answer; at least 2 are needed to choose from")
        empty = next((n for n, one in enumerate(made.choices) if not one), None)
        if empty is not None:
            raise EvaluationError(f"{item.place}: answer {empty + 1} of {len(made.choices)} is empty")
        return dataclasses.replace(made, place=item.place)

    def _before(self, questions: Sequence[Question], pool: Sequence[Question], same: bool) -> list[str]:
        """Return what stands before each question: description and examples, drawn within its group."""
        made = [""] * len(questions)
        for group in dict.fromkeys(one.group for one in questions):
            places = [n for n, one in enumerate(questions) if one.group == group]
            inside = [one for one in pool if one.group == group]
            name = f"{self.name} {group}".strip()
            drawn = shots.drawn(
                name, [questions[n] for n in places], inside, self.shots, self.seed, self.order, same
            )  # fmt: skip
            for place, found in zip(places, drawn):
                made[place] = questions[place].description + "".join(one.solved() for one in found)
        return made

    def check(self, subject: Subject, read: Read, label: str) -> None:
        """Raise EvaluationError for an answer that is longer than the model can read."""
        asked: Sequence[Asked] = read.items
        refuse_long(subject, ((pair, one.question.place) for one in asked for pair in one.pairs()))

    def run(self, subject: Subject, read: Read) -> Result:
        """Score every answer of every question."""
        began = time.perf_counter()
        asked: Sequence[Asked] = read.items
        owners = [n for n, one in enumerate(asked) for _ in one.question.choices]
        places = [asked[n].question.place for n in owners]
        pairs = encoded(subject, [pair for one in asked for pair in one.pairs()], places)
        sums = np.array([score for score, _ in scored(subject, pairs, places)])
        bounds = np.cumsum([0, *(len(one.question.choices) for one in asked)])
        rows = [sums[low:high] for low, high in itertools.pairwise(bounds)]
        return self._result(asked, rows, [truncated(subject, one) for one in pairs], owners, read, began)

    def _result(
        self, asked: Sequence[Asked], rows: Sequence[np.ndarray], cut: Sequence[bool], owners: Sequence[int],
        read: Read, began: float,
    ) -> Result:  # fmt: skip
        picked = {name: [_pick(name, one.question, row) for one, row in zip(asked, rows)] for name in self.counted}
        golds = np.array([one.question.gold for one in asked])
        values = {name: (np.array(found) == golds).astype(np.float64) for name, found in picked.items()}
        return Result(
            self.name, len(asked), self._measures(asked, values), time.perf_counter() - began,
            dataclasses.asdict(self), read.files, {**values, "loglikelihood": _gold(rows, golds)},
            [_sample(asked[n], rows[n], {name: found[n] for name, found in picked.items()})
             for n in range(min(len(asked), SHOWN))],
            counts={"truncated": len({n for n, one in zip(owners, cut) if one})},
        )  # fmt: skip

    def _measures(self, asked: Sequence[Asked], values: dict[str, np.ndarray]) -> dict[str, Measure]:
        made = {name: share(found) for name, found in values.items()}
        groups = np.array([one.question.group for one in asked])
        names = list(dict.fromkeys(groups.tolist()))
        for group in names if names != [""] else ():
            for name, found in values.items():
                made[f"{name}/{group}"] = share(found[groups == group])
        return made


def _pick(name: str, question: Question, row: np.ndarray) -> int:
    """Return the answer a measure takes: the first of the highest."""
    sizes = {
        "acc": [1.0] * len(row),
        "acc_norm": [float(len(one)) for one in question.choices],
        "acc_bytes": [float(len(one.encode())) for one in question.choices],
    }[name]
    return int(np.argmax(row / np.array(sizes)))


def _gold(rows: Sequence[np.ndarray], golds: np.ndarray) -> np.ndarray:
    """Return the log-probability of the right answer among the answers (nats): a measure that moves before acc does."""
    return np.array([row[gold] - np.logaddexp.reduce(row) for row, gold in zip(rows, golds)])


def _sample(asked: Asked, row: np.ndarray, picked: dict[str, int]) -> dict[str, Any]:
    question = asked.question
    alone = len(question.contexts) == 1
    answers = [
        {"text": rest.strip() if alone else f"{context[-CUT:]}{rest}"[-CUT:], "loglikelihood": score}
        for (context, rest), score in zip(map(question.pair, range(len(row))), row.tolist())
    ]
    prompt = question.contexts[0] if alone else ""
    return sample(question.place, prompt, answers, gold=question.gold, picked=picked)
