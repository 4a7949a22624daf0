"""Whether what drew completions and what learns from them are one model: log-probabilities of the same tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from align.errors import RolloutError

BOUND = 50.0  # of differences before exp, nats


@dataclass(frozen=True)
class Parity:
    """How far two engines are apart on the tokens that one of them drew."""

    ratio_error: float  # mean over tokens of exp(|difference of log-probabilities|): 1 where they agree
    ratio_max: float  # largest exp(|difference|)
    kl: float  # nats a token: mean of generator's - trainer's log-probability, which estimates KL(generator||trainer)
    tokens: int
    lag: float  # mean over completions: weight versions between those that drew them and those that learn
    worst: int  # the completion that is furthest off, by its mean
    worst_ratio_error: float  # its mean

    def facts(self) -> dict[str, float]:
        """Return what is logged every step."""
        return {
            "ratio_error": self.ratio_error,
            "ratio_error_max": self.ratio_max,
            "rollout_kl": self.kl,
            "rollout_lag": self.lag,
        }


def compare(trainer: Tensor, generated: Tensor, mask: Tensor, version: int, versions: Sequence[int]) -> Parity:
    """Compare log-probabilities (n, t) of the same tokens, where mask (n, t) is set.

    version: of the trainer's weights; versions: of those that drew each of the n completions. Both sides at the
    temperature of the draw. A difference that is no number counts as the bound.
    """
    difference = torch.where(mask, (trainer - generated).double(), 0.0)
    # (-inf) - (-inf) says nothing of either: a token of probability 0 was drawn
    difference = difference.nan_to_num(nan=BOUND, posinf=BOUND, neginf=-BOUND)
    error = torch.where(mask, difference.abs().clamp(max=BOUND).exp(), 0.0)
    counts = mask.sum(1).clamp(min=1)
    by_row = error.sum(1) / counts
    tokens = int(mask.sum())
    worst = int(by_row.argmax()) if len(by_row) else 0
    lag = sum(version - one for one in versions) / max(len(versions), 1)
    if not tokens:
        return Parity(1.0, 1.0, 0.0, 0, lag, worst, 1.0)
    return Parity(
        float(error.sum() / tokens), float(error.max()), float(-difference.sum() / tokens), tokens, lag, worst,
        float(by_row[worst]),
    )  # fmt: skip


def gate(parity: Parity, limit: float, version: int, versions: Sequence[int]) -> Parity:
    """Return it; refuse to go on where engines with equal weights differ by more than `limit`. Raises RolloutError.

    Completions of older weights differ because the weights do: they are weighed, not refused.
    """
    if all(one == version for one in versions):
        refuse(parity.ratio_error, limit, version, f"{parity.tokens:,} tokens, mean KL {parity.kl:.4g} nats; "
               f"furthest off is completion {parity.worst} with {parity.worst_ratio_error:.4g}")  # fmt: skip
    return parity


def refuse(ratio_error: float, limit: float, version: int, more: str) -> None:
    """Raise RolloutError where a mean ratio error is beyond the limit, or no number."""
    if not ratio_error <= limit:
        raise RolloutError(
            f"generator and trainer disagree at the same weights (version {version}): mean exp(|difference of "
            f"log-probabilities|) is {ratio_error:.4g}, over rollouts.max_ratio_error {limit:g} ({more}). Gradients "
            "would be wrong. Usual causes: another temperature or dtype, weights that did not arrive, another template"
        )
