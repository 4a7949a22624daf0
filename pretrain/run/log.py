"""The run's own record: log.jsonl, a line a step and a line a validation; events.jsonl, what happened besides.

Both only grow, a line at a time, so a kill costs at most part of a last line, which the next run cuts off. A run
that goes on from step s first cuts the lines of later steps off log.jsonl: each step has one line, that of the
run that led to the newest checkpoint. events.jsonl is never cut: it is the history of all attempts.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
from dataclasses import dataclass, field
from typing import IO, Any, Literal, Protocol, get_args

from millrace import storage
from millrace.config import did_you_mean
from pretrain.errors import TrainingError

LOG, EVENTS = "log.jsonl", "events.jsonl"

Kind = Literal["save", "restore", "bad_batch", "straggler", "hang", "restart", "signal", "export", "peak"]


CURVES = ("loss", "grad_norm", "lr", "tokens_per_second", "mfu", "memory_bytes", "tokens", "seconds", "train_seconds",
          "data_seconds", "save_seconds", "validation_seconds")  # fmt: skip


class Validation(Protocol):
    """A line of log.jsonl, of whatever kind of run: a dataclass of plain values."""

    @property
    def step(self) -> int: ...

    @property
    def seconds(self) -> float: ...

    def text(self) -> str:
        """Return it as people read it."""
        ...

    def curves(self) -> dict[str, float]:
        """Return values by the names of their curves; none for what is unknown."""
        ...

    def values(self) -> dict[str, Any]:
        """Return what the file holds."""
        ...


class Step(Validation, Protocol):
    """The line of a step."""

    @property
    def skipped(self) -> bool: ...


@dataclass(frozen=True)
class StepLine:
    """One training step. A loss or norm that is not finite is null in the file."""

    step: int  # of the run, from 1
    rows: int  # consumed up to here, over all ranks
    tokens: int  # labels up to here
    loss: float  # nats a label
    grad_norm: float  # L2 over all parameters, before clipping
    lr: float
    seconds: float  # since the line before, whatever they went into
    train_seconds: float  # of them, in forward, backward and update
    data_seconds: float  # waiting for the loader
    save_seconds: float  # blocked by checkpoints
    validation_seconds: float
    tokens_per_second: float  # labels over all ranks, by train_seconds + data_seconds
    mfu: float | None  # share of the devices' peak, same seconds; None where no peak is known
    memory_bytes: int  # the most this process (CPU) or device (GPU) has held
    skipped: bool = False  # a bad batch: parameters were not updated

    def values(self) -> dict[str, Any]:
        """Return what the file holds."""
        return dataclasses.asdict(self)

    def curves(self) -> dict[str, float]:
        """Return values by the names of their curves; none for what is unknown."""
        return {f"train/{name}": getattr(self, name) for name in CURVES if getattr(self, name) is not None}

    def text(self) -> str:
        """Return the step as people read it."""
        said = [
            f"loss {self.loss:.4f}",
            f"norm {self.grad_norm:.3g}",
            f"lr {self.lr:.2e}",
            f"{self.tokens_per_second:,.0f} tokens/s",
            *([f"MFU {100 * self.mfu:.1f} %"] if self.mfu is not None else []),
            f"{self.memory_bytes / 1e9:.2f} GB",
        ]
        return "  ".join([*(["SKIPPED"] if self.skipped else []), *said])


@dataclass(frozen=True)
class ValidationLine:
    """A validation after a step."""

    step: int
    validation_loss: float  # nats a label
    tokens: int  # labels it was measured on
    seconds: float

    @property
    def perplexity(self) -> float:
        """Return exp(loss), infinite where that is past float64."""
        return math.exp(self.validation_loss) if self.validation_loss < 709 else math.inf

    def values(self) -> dict[str, Any]:
        """Return what the file holds."""
        return dataclasses.asdict(self) | {"perplexity": self.perplexity}

    def curves(self) -> dict[str, float]:
        """Return values by the names of their curves."""
        return {"validation/loss": self.validation_loss, "validation/perplexity": self.perplexity}

    def text(self) -> str:
        """Return the validation as people read it."""
        return f"loss {self.validation_loss:.4f}  perplexity {self.perplexity:.4g}  {self.tokens:,} tokens"


@dataclass(frozen=True)
class Event:
    """Something that happened besides training."""

    kind: Kind
    step: int  # the last one finished
    details: dict[str, Any] = field(default_factory=dict)  # plain values; bad_batch: documents, a list of ids
    time: float = field(default_factory=time.time)  # seconds since 1970

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            near = did_you_mean(self.kind, get_args(Kind))
            raise ValueError(f"no event is called {self.kind}.{near} Events: {', '.join(get_args(Kind))}")
        if own := {"kind", "step", "time"} & set(self.details):
            raise ValueError(f"details of an event may not be called {', '.join(sorted(own))}")


class LogFiles:
    """The two files of one run folder, a local one; opened after the restore, by one rank alone.

    `restored`: the step the run goes on from, 0 for its beginning. Raises StorageError where the folder is not
    on a local disk, TrainingError where log.jsonl is not a log.
    """

    def __init__(self, folder: str, restored: int = 0):
        self._folder = folder
        url = storage.join(folder, LOG)
        kept = kept_bytes(storage.read_bytes(url), restored, url) if storage.exists(url) else 0
        self._opened = storage.appending(url, kept)
        self._log: IO[bytes] = self._opened.__enter__()

    def step(self, line: Step) -> None:
        self._write(_line(line.values()))

    def validation(self, line: Validation) -> None:
        self._write(_line(line.values()))

    def event(self, event: Event) -> None:
        """Write an event; the steps before it reach the disk first, so no checkpoint outlives its lines."""
        os.fsync(self._log.fileno())
        append_event(self._folder, event)

    def close(self) -> None:
        self._opened.__exit__(None, None, None)

    def _write(self, line: bytes) -> None:
        self._log.write(line)
        self._log.flush()


def append_event(folder: str, event: Event) -> None:
    """Add an event to a run's events.jsonl and see it onto the disk; also from a process that trains nothing."""
    with storage.appending(storage.join(folder, EVENTS)) as stream:
        stream.write(_line({"time": event.time, "kind": event.kind, "step": event.step, **event.details}))
        stream.flush()
        os.fsync(stream.fileno())


def kept_bytes(log: bytes, step: int, name: str = LOG) -> int:
    """Return where in a log the lines of later steps begin, or a torn last line."""
    end = log.rfind(b"\n") + 1
    while end:
        begin = log.rfind(b"\n", 0, end - 1) + 1
        if _step_of(log[begin:end], name) <= step:
            return end
        end = begin
    return 0


def _step_of(line: bytes, name: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        raise TrainingError(f"{name} is not the log of a training run: {line[:80]!r} names no step") from None


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(_plain(values), ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _plain(value: Any) -> Any:
    """Return what JSON can hold: null for a number that is not finite."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
