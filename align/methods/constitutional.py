"""Constitutional AI (Bai et al. 2022): a model criticises and revises its answers by principles, learns the revisions,
and then learns which of two answers better keeps to the principles, as itself or another model judges."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

import numpy as np
import yaml

from align.batch import Example, TokenSequence
from align.data.examples import Prompt
from align.data.record import Message, Unfit
from align.errors import AlignSettingsError, DataError
from align.methods.iterated import Iterated, Phase
from align.objectives import PreferenceLoss, SftLoss
from align.rewards.judge import Judge
from align.run.data import WATCHED
from align.run.evaluate import of_logprobs
from align.run.job import Job
from align.run.measure import gathered, measure
from align.run.samples import Sample
from align.sections import Dpo
from millrace import storage
from millrace.config import build
from millrace.errors import ConfigError

Turns = tuple[Message, ...]
VERDICT = "{question}\n\nRequest:\n{request}\n\nAnswer A:\n{a}\n\nAnswer B:\n{b}\n\nReply with A or B alone."


@dataclass(frozen=True)
class Principle:
    """What is asked of the critic, of the writer, and of the judge."""

    critique: str
    revision: str
    preference: str


def principles(path: str = "") -> list[Principle]:
    """Read a constitution, by default the built-in one. Raises AlignSettingsError."""
    if path:
        text: Any = storage.read_bytes(path)
    else:
        text = resources.files(__package__).joinpath("constitution.yaml").read_text()
    try:
        made = [build(Principle, one) for one in yaml.safe_load(text)]
    except (yaml.YAMLError, ConfigError, AttributeError, TypeError) as error:
        wanted = "a list of mappings with critique, revision and preference"
        raise AlignSettingsError(f"{path} is no constitution, {wanted}: {' '.join(str(error).split())}") from None
    if not made:
        raise AlignSettingsError(f"{path} holds no principle")
    return made


class ConstitutionalMethod(Iterated):
    """Two phases: revisions, learnt as answers; then verdicts, learnt as preferences."""

    def planned(self) -> Sequence[Phase]:
        """Return the phases that the configuration names."""
        self.settings = self.job.config.settings
        self.principles = principles(self.settings.constitution)
        self.judges: dict[str, Judge] = {}
        if self.settings.judge_url:
            asked = {one.preference for one in self.principles}
            self.judges = {one: Judge(self.settings.judge_url, self.settings.judge_model, one) for one in asked}
        known = {
            "sft": Phase("revisions", SftLoss(), self.revised),
            "dpo": Phase("verdicts", PreferenceLoss(Dpo(beta=self.settings.beta)), self.judged, reference=True),
        }
        return [known[stage] for stage in self.settings.stages]

    def _principle(self, prompt: Prompt, *which: object) -> Principle:
        drawn = hashlib.sha256(repr((self.job.config.training.seed, prompt.id, *which)).encode()).digest()
        return self.principles[int.from_bytes(drawn[:4]) % len(self.principles)]

    def revised(self) -> tuple[list[Example], list[Sample], dict[str, float]]:
        """Return conversations that end with a revised answer."""
        prompts = self.data.everything
        first = self.rollouts.draw(prompts, 1, "answer")
        answers: list[str | None] = [one.text for one in first.completions]
        for turn in range(self.settings.revisions):
            rules = [self._principle(prompt, "revision", turn) for prompt in prompts]
            asked = [
                _asked(prompt.messages, answer, rule.critique) for prompt, answer, rule in zip(prompts, answers, rules)
            ]
            critiques = self._answered(prompts, asked, "critique", turn)
            asked = [_asked(turns, critique, rule.revision) for turns, critique, rule in zip(asked, critiques, rules)]
            answers = self._answered(prompts, asked, "revision", turn)
        made, samples = [], []
        for prompt, before, answer in zip(prompts, first.completions, answers):
            if answer is not None and (one := self._learnt(prompt, answer)) is not None:
                made.append(Example(prompt.id, (one,)))
                samples.append(replace(_sample(prompt, answer, len(one.tokens)), before=before.text))
        unfit = sum(answer is None for answer in answers) / len(prompts)
        return made, samples[:WATCHED], {"revised": len(made) / len(prompts), "unfit": unfit}

    def judged(self) -> tuple[list[Example], list[Sample], dict[str, float]]:
        """Return pairs of the model's own answers, the preferred one first; equal answers are left out."""
        prompts = self.data.everything
        drawn = self.rollouts.draw(prompts, 2, "pair")
        sequences = [replace(one, token_fields={}) for one in drawn.sequences()]
        texts = [one.text for one in drawn.completions]
        pairs = [(prompt, texts[2 * i], texts[2 * i + 1]) for i, prompt in enumerate(prompts)]
        shares = self._verdicts(pairs)
        made, samples = [], []
        for i, (prompt, share) in enumerate(zip(prompts, shares)):
            if texts[2 * i] == texts[2 * i + 1] or share is None or share == 0.5:
                continue
            first, second = sequences[2 * i : 2 * i + 2] if share > 0.5 else sequences[2 * i : 2 * i + 2][::-1]
            made.append(Example(prompt.id, (first, second)))
            samples.append(_sample(prompt, texts[2 * i + (share < 0.5)], len(first.tokens)))
        known = [max(share, 1 - share) for share in shares if share is not None]
        facts = {"judged": len(made) / len(prompts), "unfit": 1 - len(known) / len(prompts)}
        sure = {"sureness": float(np.mean(known))} if known else {}
        return made, samples[:WATCHED], drawn.facts() | facts | sure

    def _answered(self, prompts: Sequence[Prompt], asked: Sequence[Turns | None], *which: object) -> list[str | None]:
        """Return what the critic says to conversations: a server's model, else the policy itself.

        None to one that cannot be put to it: the model has spelt a control token.
        """
        if self.judges:
            critic = next(iter(self.judges.values())).chat
            there = [i for i, turns in enumerate(asked) if turns is not None]
            said = [[{"role": one.role, "content": one.content} for one in asked[i] or ()] for i in there]
            found = gathered(critic.ask(said, str) if self.job.first else None)[0]
        else:
            fitted = [self._fit(turns) for turns in asked]
            there = [i for i, tokens in enumerate(fitted) if tokens is not None]
            turned = [replace(prompt, tokens=one) for prompt, one in zip(prompts, fitted) if one is not None]
            found = [one.text for one in self.rollouts.draw(turned, 1, *which).completions] if turned else []
        answers = dict(zip(there, found))
        return [answers.get(i) for i in range(len(asked))]

    def _fit(self, turns: Turns | None) -> np.ndarray | None:
        """Return a conversation's tokens, without its oldest where there would be no room for an answer.

        None where a turn spells a control token, which would break the conversation up.
        """
        config = self.job.config
        try:
            tokens = self.job.chat.prompt(turns) if turns is not None else None
        except Unfit:
            return None
        return tokens if tokens is None else tokens[-(config.model.max_length - config.rollouts.max_tokens) :]

    def _verdicts(self, pairs: Sequence[tuple[Prompt, str, str]]) -> list[float | None]:
        """Return for each pair the probability that the first answer is better, over both orders of showing them.

        None of a pair that the policy cannot be shown: an answer spells a control token.
        """
        questions = [self._principle(prompt, "preference").preference for prompt, _, _ in pairs]
        if self.judges:
            return list(gathered(self._judged_elsewhere(pairs, questions) if self.job.first else None)[0])
        asked = [
            VERDICT.format(question=question, request=prompt.text, a=x, b=y)
            for (prompt, a, b), question in zip(pairs, questions)
            for x, y in ((a, b), (b, a))
        ]
        given = self._own_verdicts(asked)
        both = [(given[2 * i], given[2 * i + 1]) for i in range(len(pairs))]
        return [None if a is None or b is None else (a + 1 - b) / 2 for a, b in both]

    def _judged_elsewhere(self, pairs: Sequence[tuple[Prompt, str, str]], questions: Sequence[str]) -> list[float]:
        """Return what a server's model prefers, asked by each principle."""
        shares = [0.5] * len(pairs)
        for question, judge in self.judges.items():
            mine = [i for i, one in enumerate(questions) if one == question]
            found = judge.preferences([(pairs[i][0].text, *pairs[i][1:]) for i in mine])
            for i, share in zip(mine, found):
                shares[i] = share
        return shares

    def _own_verdicts(self, asked: Sequence[str]) -> list[float | None]:
        """Return the policy's probability of A against B (Bai et al. 2022, section 4.1); None of unfit answers."""
        letters = [self.job.chat.tokenizer.encode(letter, add_special_tokens=False) for letter in "AB"]
        if len(letters[0]) != 1 or len(letters[1]) != 1:
            raise DataError("the tokenizer has no single tokens for A and B, by which the model would judge")
        questions = [self._fit((Message("user", one),)) for one in asked]
        fit = {i: question for i, question in enumerate(questions) if question is not None}
        sides = [Example("", tuple(_followed(question, letter) for letter in letters)) for question in fit.values()]
        given = measure(self.policy, sides, self.layout, of_logprobs)
        found = {i: float(1 / (1 + np.exp(b[-1] - a[-1]))) for i, (a, b) in zip(fit, given)}
        return [found.get(i) for i in range(len(asked))]

    def _learnt(self, prompt: Prompt, answer: str) -> TokenSequence | None:
        """Return an answer as it is learnt; None where it is empty or too long."""
        try:
            one = self.job.chat.masked((*prompt.messages, Message("assistant", answer)), "last")
        except Unfit:
            return None
        return one if answer.strip() and len(one.tokens) <= self.job.config.model.max_length else None


def _asked(turns: Turns | None, answer: str | None, question: str) -> Turns | None:
    """Return a conversation with an answer and a further question; None where either is missing."""
    if turns is None or answer is None:
        return None
    return (*turns, Message("assistant", answer), Message("user", question))


def _followed(question: np.ndarray, letter: list[int]) -> TokenSequence:
    return TokenSequence(np.append(question, letter), np.arange(len(question) + 1) == len(question))


def _sample(prompt: Prompt, text: str, length: int) -> Sample:
    return Sample(prompt_id=prompt.id, prompt=prompt.text, text=text, length=length)


def open_method(job: Job) -> ConstitutionalMethod:
    """Return the method at work on this rank."""
    return ConstitutionalMethod(job)
