"""The guard against bad batches: a loss that is not finite, or far above the running mean, trains nothing.

PaLM (Chowdhery et al. 2022, section 5.1) went back 100 steps after a spike and left out 200 to 500 batches; OPT-175B
(Zhang et al. 2022, section 2.5) went back and lowered the learning rate. Both judged after the parameters had moved.
This guard judges before the update, so nothing has to be taken back. Spikes are told by the loss: the gradient's
norm varies several-fold in healthy runs and is clipped anyway, so it is judged only for being finite.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

from millrace import storage
from pretrain.config import Guard as Settings
from pretrain.errors import TrainingError

Verdict = Literal["ok", "nan", "spike"]
FOLDER = "bad_batches"  # of a run: step-N.json names the documents of each
NAMED = 3  # documents in an error's line; the file has all


class Guard:
    """Judges every step before its update, from values that are the same on all ranks, so all decide alike."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._accepted: deque[float] = deque(maxlen=settings.spike_window)
        self.bad_steps = 0

    def judge(self, loss: float, grad_norm: float) -> Verdict:
        """Say whether a step may update the parameters; its loss then enters the running mean.

        `loss`: mean over the whole global batch, nats a label; `grad_norm`: L2 over all parameters, before clipping.
        A spike is a loss above `spike` times the mean of the last `spike_window` accepted ones, once there are so many.
        """
        verdict = self._verdict(loss, grad_norm)
        if verdict == "ok":
            self._accepted.append(loss)
        else:
            self.bad_steps += 1
        return verdict

    def _verdict(self, loss: float, grad_norm: float) -> Verdict:
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            return "nan"
        full = len(self._accepted) == self._accepted.maxlen
        # summed anew, not kept up to date: a resumed run must decide as the unbroken one does, to the last bit
        if self._settings.spike and full and loss > self._settings.spike * self.mean:
            return "spike"
        return "ok"

    @property
    def mean(self) -> float:
        """The mean of the accepted losses in the window; NaN before the first."""
        return math.fsum(self._accepted) / len(self._accepted) if self._accepted else math.nan

    def record(self, folder: str, step: int, loss: float, grad_norm: float, verdict: Verdict,
               documents: Callable[[], Sequence[str]], writes: bool = True) -> list[str]:  # fmt: skip
        """Write FOLDER/bad_batches/step-N.json with the ids of the batch's documents, and return them.

        Call it on all ranks after a bad verdict; `writes` on one of them. Raises TrainingError, on all ranks, where
        this was more than `max_bad_steps` bad steps. `documents` gives the ids of the global batch, and may be slow.
        """
        ids = list(documents())
        place = storage.join(folder, FOLDER, f"step-{step}.json")
        if writes:
            finite = {"loss": loss, "grad_norm": grad_norm, "mean_loss": self.mean}
            values = {name: value if math.isfinite(value) else str(value) for name, value in finite.items()}
            storage.write_json(place, {"step": step, "verdict": verdict, **values, "documents": ids})
        if self.bad_steps > self._settings.max_bad_steps:
            named = ", ".join(ids[:NAMED]) + (f" and {len(ids) - NAMED} more" if len(ids) > NAMED else "")
            raise TrainingError(
                f"step {step}: {_what(verdict, loss, grad_norm, self.mean)}; {self.bad_steps} bad batches are more than"
                f" guard.max_bad_steps {self._settings.max_bad_steps}. Documents of this one: {named}; all: {place}"
            )
        return ids

    def state_dict(self) -> dict[str, Any]:
        """Return plain values; with them loaded, a guard judges as this one would."""
        return {"accepted": list(self._accepted), "bad_steps": self.bad_steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; a smaller window keeps the newest losses."""
        self._accepted = deque(state["accepted"], maxlen=self._accepted.maxlen)
        self.bad_steps = int(state["bad_steps"])


def _what(verdict: Verdict, loss: float, grad_norm: float, mean: float) -> str:
    if verdict == "spike":
        return f"loss {loss:.4f} is {loss / mean:.1f} times the running mean {mean:.4f}"
    return f"loss {loss} with gradient norm {grad_norm} is not finite"
