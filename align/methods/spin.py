"""SPIN: self-play fine-tuning (Chen et al. 2024). The data's answers are preferred to the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from align.batch import Example
from align.methods.iterated import Iterated, Phase
from align.objectives import PreferenceLoss
from align.run.data import WATCHED
from align.run.job import Job
from align.run.samples import Sample
from align.sections import Dpo


class SpinMethod(Iterated):
    """Each iteration: complete every prompt, and prefer the data's answer; the reference is the iteration before."""

    def planned(self) -> Sequence[Phase]:
        """Return an iteration a phase."""
        settings = self.job.config.settings
        loss = PreferenceLoss(Dpo(beta=settings.beta))
        return [Phase(f"iteration {i + 1}", loss, self.play, reference=True) for i in range(settings.iterations)]

    def play(self) -> tuple[list[Example], list[Sample], dict[str, float]]:
        """Return pairs of the data's answers and the model's own; a prompt that it answers alike is left out."""
        prompts = [one for one in self.data.everything if one.gold is not None]
        drawn = self.rollouts.draw(prompts, 1, "play", self.phase)
        pairs = []
        for prompt, own in zip(prompts, drawn.sequences(), strict=True):
            own = replace(own, token_fields={})
            if prompt.gold.tokens.tolist() != own.tokens.tolist():
                pairs.append(Example(prompt.id, (prompt.gold, own)))
        return pairs, drawn.samples(WATCHED), drawn.facts() | {"alike": 1 - len(pairs) / len(prompts)}


def open_method(job: Job) -> SpinMethod:
    """Return the method at work on this rank."""
    return SpinMethod(job)
