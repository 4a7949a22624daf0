"""SteerLM (Dong et al. 2023): attributes in the prompt; and SteerLM 2.0 (Wang et al. 2024), which checks them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from align.batch import Example
from align.data.examples import Prompt, steered
from align.errors import AlignSettingsError, DataError
from align.losses import reduce
from align.methods.offline import Offline
from align.methods.online import Online
from align.objectives import SftLoss, SteerLmLoss
from align.run.evaluate import of_scores
from align.run.experience import Experience, masks, stacked
from align.run.job import Job
from align.run.measure import measure
from align.run.reference import FIELD, Reference


class SteerLmMethod(Online):
    """SteerLM 2.0: completions of prompts that ask for attributes, weighed by how well they meet them.

    The wanted share of completion y of prompt x and attributes a is P(a | x, y) P(y | x) / Q(y | a, x), normalised over
    a prompt's completions: Q drew them, P(y | x) is the model before training without the attributes, and P(a | x, y)
    a normal distribution around what the reward model measures.
    """

    def __init__(self, job: Job):
        self.settings = job.config.settings
        super().__init__(job, SteerLmLoss(), self.settings.group_size)
        self.prior = Reference(job, self.actor)
        self.names = self.settings.attributes or _rated(self.data.train.items[0])
        self.judge = job.policy("reward", self.settings.reward_model, "reward", outputs=len(self.names))

    @property
    def at_once(self) -> bool:
        """Never: this loss has no ratios that would show whether generator and trainer agree."""
        return False

    def asked(self, prompts: list[Prompt]) -> list[Prompt]:
        """Return prompts that ask for their records' attributes. Raises DataError where one leaves no room for it."""
        made = [replace(one, tokens=self.job.chat.prompt(steered(one.messages, self._wanted(one)))) for one in prompts]
        config = self.job.config
        room = config.model.max_length - config.rollouts.max_tokens
        for one in made:
            if len(one.tokens) > room:
                raise DataError(
                    f"prompt {one.id} has {len(one.tokens)} tokens with its attributes; model.max_length less "
                    f"rollouts.max_tokens leaves {room}: raise model.max_length"
                )
        return made

    def _wanted(self, prompt: Prompt) -> dict[str, float]:
        """Return a record's attributes; NaN for one that is not rated."""
        return {name: float(prompt.task.get(name, math.nan)) for name in self.names}

    def advantaged(self, examples: list[Example], drawn: Experience) -> tuple[list[Example], dict[str, float]]:
        """Return an example a prompt, with the wanted shares of its completions; and how far they are off."""
        proposal = reduce.sequence_sum(stacked(examples, "old_logprobs"), masks(examples)).double()
        plain = drawn.of_prompts(self._plain(drawn)).examples()
        prior = self.prior.annotated(plain)
        log_prior = reduce.sequence_sum(stacked(prior, FIELD), masks(prior)).double()
        measured = np.stack([one for (one,) in measure(self.judge, plain, self.layout, of_scores, "sequence")])
        wanted = np.array([list(self._wanted(prompt).values()) for prompt in drawn.prompts])
        off = np.nan_to_num(measured - wanted)  # what is not asked for is met by all
        error = torch.from_numpy(off / self.settings.deviation).double()
        log_weight = (log_prior - proposal - 0.5 * (error**2).sum(1)).reshape(-1, self.group_size)
        weights = log_weight.softmax(1)
        made = []
        for number, row in enumerate(weights.tolist()):
            group = examples[number * self.group_size : (number + 1) * self.group_size]
            made.append(Example(group[0].id, tuple(one.sequences[0] for one in group), {"weights": tuple(row)}))
        spread = float((1 / (weights**2).sum(1)).mean())
        return made, {"attribute_error": float(np.abs(off[~np.isnan(wanted)]).mean()), "effective_completions": spread}

    def _plain(self, drawn: Experience) -> dict[str, Prompt]:
        return {one.id: replace(one, tokens=self.job.chat.prompt(one.messages)) for one in drawn.prompts}


def _rated(prompt: Prompt) -> tuple[str, ...]:
    numbers = [name for name, value in prompt.task.items() if isinstance(value, int | float)]
    if not numbers:
        found = ", ".join(prompt.task) or "nothing"
        raise AlignSettingsError(f"no record has a rated attribute; the first has {found}")
    return tuple(numbers)


def open_method(job: Job) -> Any:
    """Return the method at work on this rank: version 1 is fine-tuning on prompts with attributes."""
    return Offline(job, SftLoss()) if job.config.settings.version == 1 else SteerLmMethod(job)
