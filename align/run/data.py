"""The data of a run's method, and how many steps they make."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from align.batch import Example
from align.config import Config
from align.data.chat import Chat
from align.data.dataset import Dataset, has, load
from align.data.examples import Kind, Prompt

WATCHED = 8  # prompts whose completions are kept at each validation
KINDS: dict[str, Kind] = {
    "sft": "sequences", "dpo": "pairs", "reward_model": "pairs", "kto": "labelled", "ppo": "prompts", "grpo": "prompts",
    "reinforce": "prompts", "steerlm": "steered", "spin": "prompts", "rejection_sampling": "prompts",
    "constitutional": "prompts", "distillation": "sequences",
}  # fmt: skip

SCORES = ("chosen_score", "rejected_score")
NUMBERS: dict[tuple[str, str], tuple[str, ...]] = {  # method, loss -> the fields of a pair that it reads
    ("reward_model", "margin"): ("margin",), ("reward_model", "scaled"): ("margin",),
    ("dpo", "rpo_sq"): SCORES, ("dpo", "rpo_fwd_kl"): SCORES, ("dpo", "rpo_bwd_kl"): SCORES,
}  # fmt: skip


def kind(config: Config) -> Kind:
    """Return the kind of examples a method learns from."""
    if config.method == "reward_model" and config.settings.loss == "regression":
        return "attributes"
    if config.method == "steerlm" and config.settings.version == 2:
        return "prompts"
    return KINDS[config.method]


def numbers(config: Config) -> tuple[str, ...]:
    """Return the fields that every pair must have; none for rpo where no pair is scored: 1 and 0 are its rewards."""
    read = NUMBERS.get((config.method, getattr(config.settings, "loss", "")), ())
    return () if read == SCORES and not has(config.data, read) else read


class RunData:
    """Examples or prompts of a run. Raises DataError.

    cache: a folder in which tokens are kept; "": they are made anew, in memory.
    """

    def __init__(self, config: Config, chat: Chat, cache: str = ""):
        made = kind(config)
        self.loaded = load(
            config.data, chat, made, max_length=config.model.max_length, global_batch=config.training.global_batch,
            room=config.rollouts.max_tokens if made == "prompts" else 0, attributes=self._attributes(config),
            numbers=numbers(config), gold=config.method == "spin", cache=cache,
        )  # fmt: skip
        self.train: Dataset[Any] = self.loaded.train
        self.steps = self._steps(config)

    @staticmethod
    def _attributes(config: Config) -> tuple[str, ...]:
        return getattr(config.settings, "attributes", ())

    def _steps(self, config: Config) -> int:
        """Return the steps of all epochs; of methods with phases equally many for each, rounded up."""
        phases = max(getattr(config.settings, "iterations", 1), len(getattr(config.settings, "stages", ())), 1)
        given = config.training.steps
        return phases * (self.train.steps(config.training.epochs) if given is None else -(-given // phases))

    @property
    def validation(self) -> list[Example]:
        """All held-out examples; none where none are held out."""
        return [one for batch in self.loaded.validation or () for one in batch]

    @property
    def watched(self) -> list[Prompt]:
        """The prompts that are completed at each validation: held-out ones, else the first."""
        held: Sequence[Prompt] = (self.loaded.validation or self.train).items
        return [held[i] for i in range(min(WATCHED, len(held)))]

    @property
    def everything(self) -> list[Any]:
        """All items of the training data, in the order of the files."""
        return [self.train.items[i] for i in range(len(self.train))]

    def describe(self) -> list[str]:
        """Return what the data are, in lines."""
        held = len(self.loaded.validation) if self.loaded.validation else 0
        share = f"{len(self.train):,} to learn from" + (f", {held:,} held out" if held else "")
        return [f"data       {share}", *(f"           {line}" for line in self.loaded.dropped.text().splitlines())]


def prompt_of(example: Example) -> Prompt:
    """Return what comes before a conversation's first learnt token, as a prompt."""
    (one,) = example.sequences
    return Prompt(example.id, one.tokens[: int(one.mask.argmax())], "")


def renamed(examples: Sequence[Example], names: dict[str, str], **default: float) -> list[Example]:
    """Return examples with fields under the names that objectives read; `default` where the data have none."""
    return [
        dataclasses.replace(one, fields=default | {names.get(name, name): value for name, value in one.fields.items()})
        for one in examples
    ]
