"""A reward model's scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from align.batch import Example, TokenSequence
from align.policy import Policy
from align.rewards.check import checked
from align.rewards.compose import ModelSettings
from align.rewards.reward import Completion
from align.run.attributes import columns, labels
from align.run.job import Job
from align.run.measure import Layout, measure

SETTING = "rewards: model.start_from"


class ModelReward:
    """Reward the score of a prompt and its completion, read as one sequence; of several outputs their weighted sum.

    The model reads the policy's own tokens: it must have the same tokenizer. Called by all ranks of the job together,
    with the same completions; `policy` is None on ranks that hold none of it.
    """

    name: ClassVar[str] = "model"

    def __init__(self, policy: Policy | None, layout: Layout, weights: Sequence[float] = (1.0,)):
        self._policy, self._layout, self._weights = policy, layout, tuple(weights)

    def __call__(self, completions: Sequence[Completion]) -> list[float]:
        scores = measure(
            self._policy, [example(one) for one in completions], self._layout, lambda model, of: model.scores(of),
            "sequence",
        )  # fmt: skip
        values = [sum(w * v for w, v in zip(self._weights, one[0].tolist(), strict=True)) for one in scores]
        return checked(self.name, values, completions)


def opened(job: Job, settings: ModelSettings) -> ModelReward:
    """Open the reward model of a run; called by all ranks together. Raises as `weights`."""
    over = weights(settings)
    return ModelReward(job.policy("reward", settings.start_from, "reward", len(over)), job.layout(), over)


def weights(settings: ModelSettings) -> list[float]:
    """Return the weight of each of a model's outputs: 0 for one that is not asked for. Raises as `columns`."""
    if not settings.attributes:
        return [1.0]
    over = [0.0] * len(labels(settings.start_from))
    found = columns(settings.start_from, tuple(settings.attributes), SETTING)
    for column, weight in zip(found, settings.attributes.values()):
        over[column] = weight
    return over


def example(completion: Completion) -> Example:
    """Return a prompt and its completion as one sequence."""
    tokens = np.concatenate([completion.prompt_tokens, completion.tokens]).astype(np.int64)
    return Example("", (TokenSequence(tokens, np.arange(len(tokens)) >= len(completion.prompt_tokens)),))
