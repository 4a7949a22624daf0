"""How often a reward model prefers the answer that people preferred."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from serve.errors import EvaluationError, ServeSettingsError
from serve.evaluate import conversations
from serve.evaluate.conversations import Talk, grouped, plain
from serve.evaluate.interval import wilson
from serve.evaluate.mean import mean
from serve.evaluate.samples import SHOWN, sample
from serve.evaluate.task import Read, Result, Subject


@dataclass(frozen=True)
class RewardAccuracy:
    """Preference pairs, in the formats that alignment reads, of which a reward model rates both sides.

    acc: the share in which the chosen answer's reward is the higher; equal rewards count half. margin: the mean of
    chosen less rejected. Both also by the field `subset`, as acc/SUBSET. The interval of acc is Wilson's.
    """

    name: ClassVar[str] = "reward_accuracy"
    wants: ClassVar[Literal["language", "reward"]] = "reward"

    path: Any = ()  # JSON, JSONL, CSV or Parquet: prompt, chosen, rejected, as align.data.preferences reads them
    subset: str = "subset"  # field by which measures are given too, where records have it
    limit: int = 0  # only the first pairs; 0: all

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for numbers that describe no task."""
        if self.limit < 0:
            raise ServeSettingsError(f"reward_accuracy.limit is {self.limit}; it must be 0 or more")

    def read(self) -> Read:
        """Read the pairs. Raises EvaluationError, with its line, for one that lacks a side or whose sides are equal."""
        talks, known = conversations.read(self.name, self.path, "preference", self.subset, self.limit)
        for talk in talks:
            if any(side[-1].calls for side in talk.record.sides):
                raise EvaluationError(f"{talk.record.place}: an answer calls tools; reward models rate answers of text")
        return Read(talks, known)

    def check(self, subject: Subject, read: Read, label: str) -> None:
        """Pass: a conversation that is too long loses its first tokens."""

    def run(self, subject: Subject, read: Read) -> Result:
        """Rate both sides of every pair. Raises EvaluationError for a language model."""
        began = time.perf_counter()
        talks: Sequence[Talk] = read.items
        asked = [
            (plain((*talk.record.messages, *side[:-1])), side[-1].content)
            for talk in talks
            for side in talk.record.sides
        ]
        rewards = np.array(subject.rewards(asked)).reshape(-1, 2)
        margins = rewards[:, 0] - rewards[:, 1]
        values = {"acc": np.where(margins > 0, 1.0, np.where(margins == 0, 0.5, 0.0)), "margin": margins}
        measures = {"acc": dataclasses.replace(mean(values["acc"]), interval=wilson(values["acc"].sum(), len(talks)))}
        measures["margin"] = mean(margins)
        for group, places in grouped([talk.group for talk in talks]):
            found = values["acc"][places]
            measures[f"acc/{group}"] = dataclasses.replace(mean(found), interval=wilson(found.sum(), len(found)))
        return Result(
            self.name, len(talks), measures, time.perf_counter() - began, dataclasses.asdict(self), read.files, values,
            [_sample(talk, pair) for talk, pair in zip(talks[:SHOWN], rewards.tolist())],
            counts={"ties": int((margins == 0).sum())},
        )  # fmt: skip


def _sample(talk: Talk, pair: Sequence[float]) -> dict[str, Any]:
    record = talk.record
    answers = [{"text": side[-1].content, "reward": one} for side, one in zip(record.sides, pair, strict=True)]
    return sample(record.place, record.question, answers, gold=0)
