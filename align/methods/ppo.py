"""PPO (Schulman et al. 2017) with a critic, a reference and a reward: RLHF as Ouyang et al. 2022 describe it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from align import losses
from align.advantages import gae, moments, token_rewards, whiten
from align.batch import Example
from align.losses import reduce
from align.methods.method import Outcome, outcome
from align.methods.online import Online, unfinished_left_out
from align.objectives import PpoLoss, ValueLoss, counts
from align.policy import StepResult
from align.run.evaluate import of_values
from align.run.experience import Experience, masks, stacked, with_rows
from align.run.job import Job
from align.run.measure import measure
from align.run.reference import with_fields
from align.run.update import update


class PpoMethod(Online):
    """A token's advantage: what its completion earns beyond what the critic foresaw (GAE), less its KL."""

    def __init__(self, job: Job):
        self.settings = settings = job.config.settings
        super().__init__(
            job, PpoLoss(settings), settings.group_size, settings.epochs, settings.minibatches, settings.kl != 0,
            settings.critic_warmup,
        )  # fmt: skip
        lr = settings.critic_lr
        optimizer = replace(job.config.optimizer, lr=lr, min_lr=min(lr, job.config.optimizer.min_lr))
        updates = self.steps * settings.epochs * settings.minibatches
        self.critic = job.policy(
            "critic", settings.critic or settings.reward_model, "value", optimizer=optimizer, steps=updates
        )
        self.policies["critic"] = self.critic
        self.critic_loss = ValueLoss(settings)

    @property
    def at_once(self) -> bool:
        """Not while only the critic learns: then no update of the actor shows its ratios."""
        return super().at_once and self.number > self.settings.critic_warmup

    def advantaged(self, examples: list[Example], drawn: Experience) -> tuple[list[Example], dict[str, float]]:
        """Return examples with advantages, returns and old values; and the KL, a token."""
        settings, mask = self.settings, masks(examples)
        examples = with_fields(examples, "old_values", measure(self.critic, examples, self.layout, of_values))
        metrics, kl = {}, torch.zeros(mask.shape)
        if settings.kl:
            kl = losses.kl(stacked(examples, "old_logprobs"), stacked(examples, "reference_logprobs"), settings.kl_kind)
            metrics["kl"] = float(reduce.keep(kl, mask).sum() / mask.sum().clamp(min=1))
        rewards = token_rewards(torch.from_numpy(drawn.rewards).float(), kl, mask, settings.kl)
        advantages, returns = gae(rewards, stacked(examples, "old_values"), mask, settings.gamma, settings.lam)
        if settings.whiten:
            advantages = whiten(advantages, mask, moments(advantages, mask))
        return with_rows(examples, advantages=advantages, returns=returns), metrics

    def learn(self, examples: Sequence[Example], drawn: Experience) -> Outcome:
        """Train the critic and then the actor on each part; on the first steps the critic alone."""
        if self.settings.mask_unfinished:
            shown = dict(zip(map(id, examples), unfinished_left_out(examples, drawn)))
        else:
            shown = dict(zip(map(id, examples), examples))
        actor: list[StepResult] = []
        critic: list[StepResult] = []
        for part in self.parts(examples):
            critic.append(update(self.critic, part, self.layout, self.critic_loss, counts(part)))
            if self.number > self.settings.critic_warmup:
                actor.append(self.update([shown[id(one)] for one in part]))
                self._check(actor)
        seen, came = outcome(critic), outcome(actor or critic)
        metrics = came.metrics | {f"critic/{name}": value for name, value in seen.metrics.items()}
        return replace(came, metrics=metrics, applied=came.applied and seen.applied)


def open_method(job: Job) -> PpoMethod:
    """Return the method at work on this rank."""
    return PpoMethod(job)
