"""Which curves are drawn, and which share their axes: by what metrics are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from align.report.gather import Columns, Facts
from pretrain.report.curves import Chart, Line

# title -> metrics that share it, at most three; what no title names has a chart of its own, after these
TITLES: dict[str, tuple[str, ...]] = {
    "Reward": ("reward",),
    "Loss": ("loss",),
    "Spread of rewards": ("reward_std",),
    "Accuracy": ("accuracy",),
    "KL to the reference, nats": ("kl",),
    "Length, tokens": ("length", "length_max"),
    "Ended by themselves, share": ("finished",),
    "Entropy, nats a token": ("entropy",),
    "Clipped, share": ("clip_fraction", "clip_fraction_low", "clip_fraction_high"),
    "Trainer / generator probability": ("ratio_error", "ratio_error_max"),
    "KL to the weights that drew, nats": ("old_kl", "rollout_kl"),
    "Probability ratio": ("ratio", "ratio_max", "ratio_min"),
    "Importance weight": ("importance",),
    "Rewards of pairs": ("chosen_reward", "rejected_reward", "reward_margin"),
    "Rewards of labels": ("desirable_reward", "undesirable_reward"),
    "Log-probabilities, nats a token": ("chosen_logprob", "rejected_logprob"),
    "Prompts accepted, share": ("acceptance",),
    "Prompts whose rewards are all equal, share": ("silent",),
    "Critic's values": ("value", "return"),
    "Critic's squared error": ("value_error",),
    "Critic clipped, share": ("value_clip_fraction",),
    "Idle ranks, share": ("rollout_idle",),
}
LAST: dict[str, tuple[str, ...]] = {
    "Gradient norm": ("grad_norm",),
    "Learning rate": ("lr",),
    "Tokens a second": ("tokens_per_second", "rollout_tokens_per_second"),
    "Seconds a step": ("seconds", "rollout_seconds"),
    "Peak memory, GB": ("memory_bytes",),
}
UNDRAWN = {"step", "tokens", "skipped", "validation_seconds"}
FROM_ZERO = {"lr", "tokens_per_second", "seconds", "memory_bytes", "length", "accuracy", "clip_fraction", "finished",
             "acceptance", "silent", "rollout_idle", "value_clip_fraction"}  # fmt: skip
PARTS = "reward/"  # before the names of a run's rewards


def charts(facts: Facts) -> list[Chart]:
    """Return what is drawn: a run's rewards or loss first, speed and memory last. What has no finite value is not."""
    names = [name for name in {**facts.steps, **facts.validations} if name not in UNDRAWN]
    return [chart for chart in _charts(facts, names) if any(np.isfinite(line.values).any() for line in chart.lines)]


def _charts(facts: Facts, names: list[str]) -> Iterator[Chart]:
    grouped = {name for group in (*TITLES.values(), *LAST.values()) for name in group}
    own = [name for name in names if name.startswith(PARTS)]
    for title, group in TITLES.items():
        yield _chart(title, group, facts)
        if title == "Reward":
            for first in range(0, len(own), 3):
                yield _chart("Rewards by name", tuple(own[first : first + 3]), facts)
    for name in names:
        if name not in grouped and name not in own:
            yield _chart(_said(name).capitalize(), (name,), facts)
    for title, group in LAST.items():
        yield _chart(title, group, facts)


def _chart(title: str, group: tuple[str, ...], facts: Facts) -> Chart:
    """Return a group's curves; of one metric alone also its validation."""
    lines = [line for name in group for line in _line(name, _said(name), facts.steps)]
    if len(group) == 1:
        lines += _line(group[0], f"{_said(group[0])}, held out", facts.validations)
    most = (facts.settings.get("rollouts") or {}).get("max_ratio_error") if group[0] == "ratio_error" else None
    levels = (("the run stops at", float(most)),) if most and lines else ()
    return Chart(
        group[0].replace("/", "-"), title, tuple(lines), levels, zero=group[0] in FROM_ZERO, log=group[0] == "grad_norm"
    )


def _line(name: str, label: str, columns: Columns) -> list[Line]:
    if name not in columns:
        return []
    times = 1e-9 if name == "memory_bytes" else 1.0
    return [Line(label, columns["step"], columns[name] * times)]


def _said(name: str) -> str:
    return name.removeprefix(PARTS).replace("_", " ").replace("/", " ")


def last(columns: Mapping[str, np.ndarray], name: str) -> float:
    """Return a metric's last finite value, NaN where it has none."""
    values = columns.get(name, np.zeros(0))
    values = values[np.isfinite(values)]
    return float(values[-1]) if len(values) else float("nan")


def early_and_late(columns: Mapping[str, np.ndarray], name: str, share: float = 0.1) -> tuple[float, float]:
    """Return a metric's means over the first and the last tenth of its steps, at least one; NaN where it has none."""
    values = columns.get(name, np.zeros(0))
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    some = max(1, round(share * len(values)))
    return float(values[:some].mean()), float(values[-some:].mean())
