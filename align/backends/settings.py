"""What opens a policy, whichever library it runs on."""

from __future__ import annotations

from dataclasses import dataclass, field

from align.config import Model
from align.errors import AlignSettingsError
from align.policy import Head
from pretrain.config import Optimizer, Parallel


@dataclass(frozen=True)
class PolicySettings:
    """One policy: its weights, its head, the ranks that share it, and how it is trained."""

    start_from: str  # Hugging Face folder
    head: Head = "lm"
    outputs: int = 1  # scores of head "reward"
    model: Model = field(default_factory=Model)
    optimizer: Optimizer | None = None  # None: frozen; train_step is refused
    steps: int = 1  # of the schedule
    parallel: Parallel = field(default_factory=Parallel)
    seed: int = 0  # of a head that start_from lacks, of adapters
    temperature: float = 1.0  # log-probabilities are of logits / temperature
    ranks: tuple[int, ...] | None = None  # global ranks that hold this policy; None: all
    labels: tuple[str, ...] = ()  # of outputs: names that `export` writes down; (): they have none

    @property
    def names(self) -> dict[str, str]:
        """Return what config.json calls the outputs, by their numbers; transformers' own words where they have none."""
        return {str(n): self.labels[n] if self.labels else f"LABEL_{n}" for n in range(self.outputs)}

    def __post_init__(self) -> None:
        """Raises AlignSettingsError for numbers that describe no policy."""
        for name, least in (("outputs", 1), ("steps", 1)):
            if getattr(self, name) < least:
                raise AlignSettingsError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.labels and len(self.labels) != self.outputs:
            raise AlignSettingsError(f"{len(self.labels)} labels, {', '.join(self.labels)}, for {self.outputs} outputs")
        if not self.temperature > 0:
            raise AlignSettingsError(
                f"temperature is {self.temperature}; log-probabilities are of logits / temperature: more than 0"
            )
        if self.ranks is not None and not self.ranks:
            raise AlignSettingsError("a policy on no ranks runs nothing; ranks is ()")
