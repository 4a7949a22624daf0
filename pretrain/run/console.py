"""Training on the console: a bar on a terminal, and a line every few steps anywhere."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack

from millrace.progress import Progress
from pretrain.run.log import Event, Step, Validation

RECENT = 20  # steps whose mean seconds give the time left


class Console:
    """A line every `every` steps, at the last one, and for each validation and event; on a terminal a bar below."""

    def __init__(self, progress: Progress, steps: int, every: int, restored: int = 0):
        self._progress, self._steps, self._every = progress, steps, every
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._open = ExitStack()
        self._move = self._open.enter_context(progress.bar("training", steps, restored))

    def step(self, line: Step) -> None:
        self._recent.append(line.seconds)
        left = (self._steps - line.step) * sum(self._recent) / len(self._recent)
        said = f"{line.text()}  {duration(left)} left"
        self._move(line.step, said)
        if line.step % self._every == 0 or line.step == self._steps or line.skipped:
            self._progress.say(f"step {line.step}/{self._steps}  {said}")

    def validation(self, line: Validation) -> None:
        self._progress.say(f"step {line.step}/{self._steps}  validation {line.text()}  {line.seconds:.1f} s")

    def event(self, event: Event) -> None:
        details = "  ".join(f"{name} {_brief(value)}" for name, value in event.details.items())
        self._progress.say(f"step {event.step}/{self._steps}  {event.kind.replace('_', ' ')}  {details}".rstrip())

    def close(self) -> None:
        self._open.close()


def duration(seconds: float) -> str:
    """Write 93784 as 1 d 02:03:04."""
    whole = round(seconds)
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock


def _brief(value: object, most: int = 8) -> str:
    if isinstance(value, list | tuple):
        more = f" and {len(value) - most} more" if len(value) > most else ""
        return ", ".join(map(str, value[:most])) + more
    return f"{value:.4g}" if isinstance(value, float) else str(value)
