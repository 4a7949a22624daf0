"""What an alignment run writes down of each step, through the same log, console and boards as pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TOLD = ("loss", "reward", "accuracy", "kl", "length", "entropy", "clip_fraction", "ratio_error", "grad_norm", "lr")


@dataclass(frozen=True)
class AlignLine:
    """One step."""

    step: int  # of the run, from 1
    tokens: int  # learnt up to here
    metrics: Mapping[str, float]  # of the method: loss, grad_norm, lr, reward, kl, ...
    seconds: float
    tokens_per_second: float  # learnt
    memory_bytes: int  # the most this process (CPU) or device (GPU) has held
    skipped: bool = False  # an update was not finite

    def values(self) -> dict[str, Any]:
        """Return what the file holds: metrics stand beside the rest."""
        return {
            "step": self.step, "tokens": self.tokens, **self.metrics, "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second, "memory_bytes": self.memory_bytes, "skipped": self.skipped,
        }  # fmt: skip

    def curves(self) -> dict[str, float]:
        """Return values by the names of their curves."""
        return {f"train/{name}": value for name, value in self.values().items() if name not in ("step", "skipped")}

    def text(self) -> str:
        """Return the step as people read it."""
        speed = [f"{self.tokens_per_second:,.0f} tokens/s", f"{self.memory_bytes / 1e9:.2f} GB"]
        return "  ".join([*(["SKIPPED"] if self.skipped else []), *told(self.metrics), *speed])


@dataclass(frozen=True)
class AlignValidation:
    """A validation after a step; of step 0 what the model was before."""

    step: int
    metrics: Mapping[str, float]
    seconds: float

    def values(self) -> dict[str, Any]:
        """Return what the file holds."""
        return {"step": self.step, **self.curves(), "validation_seconds": self.seconds}

    def curves(self) -> dict[str, float]:
        """Return values by the names of their curves."""
        return {f"validation/{name}": value for name, value in self.metrics.items()}

    def text(self) -> str:
        """Return the validation as people read it."""
        return "  ".join(told(self.metrics))


def told(metrics: Mapping[str, float]) -> list[str]:
    """Return the metrics that are said on the console."""
    return [f"{name.replace('grad_norm', 'norm')} {metrics[name]:.4g}" for name in TOLD if name in metrics]
