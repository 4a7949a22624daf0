"""SteerLM (Dong et al. 2023): attributes in the prompt; and SteerLM 2.0 (Wang et al. 2024), which checks them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from align.batch import Example
from align.data.examples import Prompt, steered
from align.errors import DataError, RewardError
from align.losses import reduce, steerlm_targets
from align.methods.offline import Offline
from align.methods.online import Online
from align.objectives import SftLoss, SteerLmLoss
from align.run.attributes import asked, columns, labels, wishes
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
        model = self.settings.reward_model
        self.names = asked(self.settings.attributes, model, self.data.everything)
        self.columns = columns(model, self.names, "steerlm.reward_model")
        self.judge = job.policy("reward", model, "reward", outputs=len(labels(model)))

    @property
    def at_once(self) -> bool:
        """Never: this loss has no ratios that would show whether generator and trainer agree."""
        return False

    def asked(self, prompts: list[Prompt]) -> list[Prompt]:
        """Return prompts that ask for their records' attributes. Raises DataError where one leaves no room for it."""
        made = [self._steered(one) for one in prompts]
        config = self.job.config
        room = config.model.max_length - config.rollouts.max_tokens
        for one in made:
            if len(one.tokens) > room:
                raise DataError(
                    f"prompt {one.id} has {len(one.tokens)} tokens with its attributes; model.max_length less "
                    f"rollouts.max_tokens leaves {room}: raise model.max_length"
                )
        return made

    def _steered(self, prompt: Prompt) -> Prompt:
        return replace(prompt, tokens=self.job.chat.prompt(steered(prompt.messages, wishes(prompt, self.names))))

    def advantaged(self, examples: list[Example], drawn: Experience) -> tuple[list[Example], dict[str, float]]:
        """Return an example a prompt, with the wanted shares of its completions; and how far they are off."""
        proposal = reduce.sequence_sum(stacked(examples, "old_logprobs"), masks(examples)).double()
        plain = drawn.of_prompts(self._plain(drawn)).examples()
        prior = self.prior.annotated(plain)
        log_prior = reduce.sequence_sum(stacked(prior, FIELD), masks(prior)).double()
        measured = self._measured(plain)
        wanted = np.array([list(wishes(prompt, self.names).values()) for prompt in drawn.prompts])
        off = np.where(np.isnan(wanted), 0, measured - wanted)  # what is not asked for is met by all
        likelihood = -0.5 * torch.from_numpy((off / self.settings.deviation) ** 2).double().sum(1)
        weights = steerlm_targets(likelihood, log_prior, proposal, drawn.group).reshape(-1, self.group_size)
        made = []
        for number, row in enumerate(weights.tolist()):
            group = examples[number * self.group_size : (number + 1) * self.group_size]
            made.append(Example(group[0].id, tuple(one.sequences[0] for one in group), {"weights": tuple(row)}))
        spread = float((1 / (weights**2).sum(1)).mean())
        return made, {"attribute_error": float(np.abs(off[~np.isnan(wanted)]).mean()), "effective_completions": spread}

    def _measured(self, plain: Sequence[Example]) -> np.ndarray:
        """Return (n, k): each attribute of each completion. Raises RewardError where one is not finite."""
        scores = np.stack([one for (one,) in measure(self.judge, plain, self.layout, of_scores, "sequence")])
        measured = scores[:, self.columns]
        if not np.isfinite(measured).all():
            row, column = np.argwhere(~np.isfinite(measured))[0]
            raise RewardError(
                f"steerlm.reward_model measures {self.names[column]} of a completion of prompt {plain[row].id} as "
                f"{measured[row, column]}: attributes are finite numbers"
            )
        return measured

    def _plain(self, drawn: Experience) -> dict[str, Prompt]:
        return {one.id: replace(one, tokens=self.job.chat.prompt(one.messages)) for one in drawn.prompts}


def open_method(job: Job) -> Any:
    """Return the method at work on this rank: version 1 is fine-tuning on prompts with attributes."""
    return Offline(job, SftLoss()) if job.config.settings.version == 1 else SteerLmMethod(job)
