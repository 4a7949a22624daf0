"""Updates that were left out because something was not finite: counted, written down, and at last too many.

A policy judges before it updates. A loss above its running mean, which stops pretraining, says nothing here: losses
of alignment cross 0.
"""

from __future__ import annotations

import math
from typing import Any

from align.methods.method import Outcome
from millrace import storage
from pretrain.config import Guard as Settings
from pretrain.errors import TrainingError
from pretrain.run.guard import FOLDER, NAMED


class Guard:
    """Counts the steps of a run that taught nothing, or not all they should."""

    def __init__(self, settings: Settings, folder: str, bad_steps: int = 0):
        self._settings, self._folder, self.bad_steps = settings, folder, bad_steps

    def judge(self, step: int, came: Outcome, writes: bool) -> dict[str, Any] | None:
        """Return what is worth an event of a step with an update that was left out; None of a good one.

        RUN/bad_batches/step-N.json then holds its metrics and the ids of its examples. `writes`: on one rank. Raises
        TrainingError on all ranks where these were more than `max_bad_steps`.
        """
        if came.applied:
            return None
        self.bad_steps += 1
        wrong = [name for name, value in came.metrics.items() if not math.isfinite(value)]
        ids = list(dict.fromkeys(came.ids))
        place = storage.join(self._folder, FOLDER, f"step-{step}.json")
        told = {"verdict": "nan", "not_finite": wrong, "examples": ids}
        if writes:
            storage.write_json(place, {"step": step, **told})
        if self.bad_steps > self._settings.max_bad_steps:
            named = ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
            raise TrainingError(
                f"step {step}: {', '.join(wrong)} not finite; {self.bad_steps} bad batches are more than "
                f"guard.max_bad_steps {self._settings.max_bad_steps}. Examples of this one: {named}; all: {place}"
            )
        return told
