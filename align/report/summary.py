"""What an alignment run came to, in a few lines for a terminal."""

from __future__ import annotations

import math

import numpy as np

from align.report.charts import early_and_late, last
from align.report.gather import Facts, gather
from millrace import storage

TOLD = {"reward": "reward", "accuracy": "accuracy", "kl": "KL", "length": "length"}


def summary(folder: str) -> str:
    """Return steps, tokens, loss, how rewards and accuracy went, the last validation, and where the model is."""
    facts = gather(folder)
    steps = facts.steps
    if not len(steps["step"]):
        return "no step is done"
    tokens, seconds = last(steps, "tokens"), float(np.nansum(steps["seconds"]))
    speed = tokens / max(seconds, 1e-9)
    skipped = int(np.nansum(steps.get("skipped", np.zeros(1))))
    lines = [
        f"steps      {int(steps['step'][-1]):,}, {tokens:,.0f} tokens learnt, {speed:,.0f} a second",
        *_loss(facts, skipped),
        *(line for name, title in TOLD.items() for line in _change(facts, name, title)),
    ]
    if validation := _validation(facts):
        lines.append(f"validation {validation}")
    exported = storage.join(storage.absolute(folder), "hf")
    if storage.exists(exported):
        lines.append(f"model      {exported}")
    return "\n".join(lines)


def _loss(facts: Facts, skipped: int) -> list[str]:
    loss = last(facts.steps, "loss")
    said = f"loss       {loss:.4f} in the last step" if math.isfinite(loss) else "loss       never finite"
    return [said + (f", {skipped} skipped" if skipped else "")]


def _change(facts: Facts, name: str, title: str) -> list[str]:
    early, late = early_and_late(facts.steps, name)
    if not math.isfinite(late):
        return []
    return [f"{title:10} {early:.4g} over the first tenth of the steps, {late:.4g} over the last"]


def _validation(facts: Facts) -> str:
    found = facts.validations
    names = [name for name in ("loss", *TOLD) if math.isfinite(last(found, name))]
    return ", ".join(f"{TOLD.get(name, name)} {last(found, name):.4g}" for name in names)
