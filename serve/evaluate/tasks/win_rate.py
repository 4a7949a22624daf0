"""How often a model's answers are preferred to others: by a reward model, or by a judge that sees both orders."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from align.errors import AlignSettingsError, RewardError
from align.rewards.judge import RUBRIC, Judge
from serve import model
from serve.errors import EvaluationError, ServeSettingsError
from serve.evaluate import conversations
from serve.evaluate.content import content
from serve.evaluate.conversations import Talk, grouped, plain, written
from serve.evaluate.interval import bootstrap, wilson
from serve.evaluate.mean import mean
from serve.evaluate.room import refuse_answers
from serve.evaluate.samples import SHOWN, sample
from serve.evaluate.task import Measure, Read, Result, Subject


@dataclass(frozen=True)
class WinRate:
    """Prompts that the model answers, and the share of them whose answer is preferred to another's.

    The other's answer is what the record ends with (of a preference pair: the chosen side), or what a second model
    writes. Either `reward` or `judge` prefers. A reward model prefers the higher score; the same score is a tie, half
    a win. A judge is asked twice, with the answers in either place, and a win is 1, 0.75, 0.5, 0.25 or 0: one who
    favours a place comes to 0.5.

    win_rate: the mean, with the 95 % percentile bootstrap over prompts, or Wilson's interval where all are the same;
    by the field `category` too. As lengths sway judges, they stand beside it: length and other_length, the mean
    characters of the two models' answers, and longer_wins, how often the longer of two answers was preferred (0.5:
    length had no say).
    """

    name: ClassVar[str] = "win_rate"
    wants: ClassVar[Literal["language", "reward"]] = "language"

    path: Any = ()  # JSON, JSONL, CSV or Parquet, in a format that alignment reads
    format: str = "auto"  # alpaca, sharegpt, messages, preference, prompts; auto: by a record's fields
    against: str = ""  # a second model, whose answers are the others; "": those of the records
    reward: str = ""  # a reward model that prefers
    judge: str = ""  # URL of a judge that prefers, up to and with /v1
    judge_model: str = ""
    rubric: str = RUBRIC  # of the judge
    concurrency: int = 8  # questions to the judge at once
    cache: str = ""  # folder where the judge's answers are kept; "": none
    category: str = "category"  # field by which win_rate is given too, where records have it
    template: str = ""  # of chats, for both models; "": each tokenizer's own
    max_tokens: int = 512  # of an answer
    temperature: float = 0.0
    seed: int = 0  # of answers at a temperature, and of the bootstrap
    device: str = "cpu"  # of the second model and the reward model
    limit: int = 0  # only the first prompts; 0: all

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for settings that describe no comparison."""
        if bool(self.reward) == bool(self.judge):
            raise ServeSettingsError("win_rate needs either reward, a reward model, or judge, the URL of a judge")
        if self.judge and not self.judge_model:
            raise ServeSettingsError("win_rate.judge needs judge_model, the name its server knows it by")
        if self.limit < 0 or self.max_tokens < 1 or self.temperature < 0:
            raise ServeSettingsError("win_rate: limit and temperature are 0 or more, max_tokens is 1 or more")
        if self.judge:
            self._judge()

    def read(self) -> Read:
        """Read prompts and others' answers, and look for the models. Raises EvaluationError and ModelFolderError."""
        talks, known = conversations.read(self.name, self.path, self.format, self.category, self.limit)
        for talk in talks:
            if not talk.record.prompt or talk.record.prompt[-1].role not in ("user", "tool"):
                raise EvaluationError(f"{talk.record.place}: no user's turn calls for an answer")
            if not self.against and not _reference(talk).strip():
                raise EvaluationError(
                    f"{talk.record.place}: no answer to compare with; end the conversation with one, or name a second "
                    "model: win_rate.against"
                )
        if self.reward and model.find(self.reward).kind != "reward":
            raise ServeSettingsError(f"win_rate.reward: {self.reward} is a language model, no reward model")
        if self.against and model.find(self.against).kind != "language":
            raise ServeSettingsError(f"win_rate.against: {self.against} is a reward model, no language model")
        for role, named in (("reward", self.reward), ("against", self.against)):
            if named:
                found = model.find(named)
                known[f"{role}: {found.name}"] = content(found.folder)
        return Read(talks, known)

    def check(self, subject: Subject, read: Read, label: str) -> None:
        """Raise ServeSettingsError where a model has no room for answers, EvaluationError for a chat it lacks."""
        for one in (subject, self._second()) if self.against else (subject,):
            refuse_answers(one, self.max_tokens, label)
            for talk in read.items:
                one.chat(plain(talk.record.prompt), self.template)

    def run(self, subject: Subject, read: Read) -> Result:
        """Let the model answer, and compare. Raises EvaluationError for a reward model, and a judge out of reach."""
        began = time.perf_counter()
        talks: Sequence[Talk] = read.items
        own = self._answers(subject, talks)
        others = self._answers(self._second(), talks) if self.against else [_reference(talk) for talk in talks]
        wins = np.array(self._preferred(talks, own, others))
        lengths = np.array([[len(one), len(other)] for one, other in zip(own, others)], np.float64)
        values = {"win_rate": wins, "length": lengths[:, 0], "other_length": lengths[:, 1]}
        return Result(
            self.name, len(talks), self._measures(talks, wins, lengths), time.perf_counter() - began,
            dataclasses.asdict(self), read.files, values,
            [_sample(*one) for one in zip(talks[:SHOWN], own, others, wins.tolist())],
            counts={
                "wins": int((wins > 0.5).sum()), "ties": int((wins == 0.5).sum()), "losses": int((wins < 0.5).sum()),
                "empty_answers": sum(not one.strip() for one in own),
            },
        )  # fmt: skip

    def _answers(self, subject: Subject, talks: Sequence[Talk]) -> list[str]:
        prompts = [subject.chat(plain(talk.record.prompt), self.template) for talk in talks]
        return subject.complete(prompts, self.max_tokens, (), self.temperature, self.seed)

    def _preferred(self, talks: Sequence[Talk], own: Sequence[str], others: Sequence[str]) -> list[float]:
        if self.reward:
            from serve.evaluate.local.reward import Reward

            prompts = [plain(talk.record.prompt) for talk in talks]
            rater = Reward.load(model.find(self.reward), device=self.device)
            scores = rater.rewards([*zip(prompts, own), *zip(prompts, others)])
            return [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(scores, scores[len(talks) :])]
        try:
            return self._judge().preferences(
                [(written(talk.record.prompt), one, other) for talk, one, other in zip(talks, own, others)]
            )
        except RewardError as error:
            raise EvaluationError(f"win_rate: {error}") from None

    def _judge(self) -> Judge:
        try:
            return Judge(self.judge, self.judge_model, self.rubric, concurrency=self.concurrency, cache=self.cache)
        except AlignSettingsError as error:
            raise ServeSettingsError(f"win_rate: {error}") from None

    def _second(self) -> Subject:
        from serve.evaluate.local.language import Language

        return Language.load(model.find(self.against), device=self.device)

    def _measures(self, talks: Sequence[Talk], wins: np.ndarray, lengths: np.ndarray) -> dict[str, Measure]:
        made = {"win_rate": dataclasses.replace(mean(wins), interval=_interval(wins, self.seed))}
        made |= {"length": mean(lengths[:, 0], None), "other_length": mean(lengths[:, 1], None)}
        apart = lengths[:, 0] != lengths[:, 1]
        if apart.any():
            longer = np.where(lengths[:, 0] > lengths[:, 1], wins, 1 - wins)[apart]
            made["longer_wins"] = dataclasses.replace(mean(longer), interval=_interval(longer, self.seed))
        for group, places in grouped([talk.group for talk in talks]):
            made[f"win_rate/{group}"] = dataclasses.replace(
                mean(wins[places]), interval=_interval(wins[places], self.seed)
            )
        return made


def _interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    """Return a mean's 95 % interval: draws of values that are all the same would say that nothing is uncertain."""
    return bootstrap(values, seed) if np.ptp(values) else wilson(float(values.sum()), len(values))


def _reference(talk: Talk) -> str:
    """Return the answer that a record ends with, "" where there is none."""
    record = talk.record
    last = record.sides[0][0] if record.sides else record.messages[-1]
    return last.content if last.role == "assistant" else ""


def _sample(talk: Talk, own: str, other: str, win: float) -> Mapping[str, Any]:
    answers = [{"text": own}, {"text": other}]
    return sample(talk.record.place, written(talk.record.prompt), answers, win_rate=win)
