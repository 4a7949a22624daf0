"""What every method of a run works with on this rank: settings, data, models, and where to say what it does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from weakref import WeakSet

from align.backends.choose import open_policy
from align.backends.settings import PolicySettings
from align.config import Config
from align.data.chat import Chat
from align.policy import Head, Policy
from align.rollout.placement import Placed
from align.rollout.sampling import RATIO_METHODS
from align.run.data import RunData
from align.run.measure import Layout
from align.run.resting import Resting
from align.run.samples import SampleTable
from pretrain.config import Optimizer
from pretrain.run.watch import Record
from pretrain.run.worker import Life


@dataclass
class Job:
    """One alignment run on one rank."""

    config: Config  # finished: backend and steps are chosen
    folder: str
    life: Life
    chat: Chat
    data: RunData
    placed: Placed  # which ranks hold which role
    record: Record
    table: SampleTable | None = None  # on the first rank
    held: WeakSet[Resting] = field(default_factory=WeakSet)  # policies that take turns on this rank's device

    @property
    def rank(self) -> int:
        return self.life.place.rank

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    def layout(self) -> Layout:
        """Return how examples become micro-batches."""
        model, training, data = self.config.model, self.config.training, self.config.data
        tensor = self.config.parallel.tensor or 1
        return Layout(training.micro_tokens, model.max_length, data.packing and not self._pads, tensor)

    @property
    def _pads(self) -> bool:
        peft = self.config.model.peft
        return peft is not None and peft.kind == "p_tuning"  # virtual tokens stand before a row

    def policy(
        self, role: str, start_from: str = "", head: Head = "lm", outputs: int = 1, optimizer: Optimizer | None = None,
        steps: int = 1, labels: tuple[str, ...] = (),
    ) -> Policy | None:  # fmt: skip
        """Open the model of a role on the ranks that hold it; None on the others. Called by all ranks together.

        optimizer: None for a model that stays as it is, such as the reference: it has no adapters, either. steps: its
        updates; the schedule ends one step behind the last, in which a rate of 0 would teach nothing.
        """
        config, ranks = self.config, self.placed.ranks(role)
        model = config.model if optimizer is not None else replace(config.model, peft=None)
        settings = PolicySettings(
            start_from or model.start_from, head, outputs, model, optimizer, steps + 1, config.parallel,
            config.training.seed, self.temperature, ranks, labels,
        )  # fmt: skip
        assert model.backend != "auto"
        if not self.placed.holds(role):
            return None
        opened = open_policy(settings, model.backend)
        return Resting(opened, self.held) if config.placement.offload else opened

    @property
    def temperature(self) -> float:
        """At which log-probabilities are taken: that of the draw where a method weighs completions by them, else 1."""
        return self.config.rollouts.temperature if self.config.method in RATIO_METHODS else 1.0
