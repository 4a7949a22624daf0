"""What is seen of a training run, by one rank, handed to everything that writes it down."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Protocol, Self

from millrace import storage
from millrace.progress import Progress
from pretrain.config import Watch
from pretrain.run.boards import TensorBoard, WandB, has_tensorboard
from pretrain.run.console import Console
from pretrain.run.log import Event, Kind, LogFiles, Step, Validation


class Watched(Protocol):
    """A configuration with a section `watch`."""

    @property
    def watch(self) -> Watch: ...

    def as_dict(self) -> dict[str, Any]: ...


class Sink(Protocol):
    """Something that writes down steps, validations and events as they come."""

    def step(self, line: Step) -> None: ...

    def validation(self, line: Validation) -> None: ...

    def event(self, event: Event) -> None: ...

    def close(self) -> None: ...


class Record:
    """Hands each line to every sink; with none, as on all ranks but the logging one, it does nothing.

    A context: at its end, whatever that is, all sinks are closed.
    """

    def __init__(self, sinks: Sequence[Sink] = ()):
        self._sinks = sinks

    def step(self, line: Step) -> None:
        for sink in self._sinks:
            sink.step(line)

    def validation(self, line: Validation) -> None:
        for sink in self._sinks:
            sink.validation(line)

    def event(self, kind: Kind, step: int, **details: Any) -> None:
        """Write an event that followed `step`; the details are plain values."""
        event = Event(kind, step, details)
        for sink in self._sinks:
            sink.event(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        with ExitStack() as closing:
            for sink in self._sinks:
                closing.callback(sink.close)


def open_sinks(folder: str, config: Watched, steps: int, restored: int, progress: Progress) -> list[Sink]:
    """Open what a run's `watch` asks for: log files, console, TensorBoard, W&B. On the logging rank alone.

    `steps`: of the run; `restored`: the step it goes on from, 0 for its beginning; later lines of earlier attempts
    are cut off.
    Raises StorageError where the folder is not on a local disk, SettingsError where wandb is asked for and absent.
    """
    folder = storage.absolute(folder)
    watch = config.watch
    with ExitStack() as opened:  # closed again if one of them cannot be opened

        def kept(sink: Sink) -> Sink:
            opened.callback(sink.close)
            return sink

        sinks = [kept(LogFiles(folder, restored))]
        if watch.wandb:
            sinks.append(kept(WandB(folder, watch.wandb, config.as_dict(), restored)))
        if watch.tensorboard and has_tensorboard():
            sinks.append(kept(TensorBoard(folder, restored)))
        elif watch.tensorboard:
            progress.say("no curves for TensorBoard: tensorboard is not installed (pip install millrace[train])")
        sinks.append(kept(Console(progress, steps, watch.log_every, restored)))
        opened.pop_all()
    return sinks
