"""Progress that suits where it is shown: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SECONDS_BETWEEN_LINES = 10.0


class Step(Protocol):
    """Called once for every piece of work that is done."""

    def __call__(self) -> None: ...


class Move(Protocol):
    """Called with how much is done in all, and what to say beside the bar."""

    def __call__(self, done: int, remark: str) -> None: ...


class Progress:
    """Says what is going on, on standard error. quiet=True says nothing."""

    def __init__(self, quiet: bool = False):
        self.quiet = quiet

    def say(self, line: str) -> None:
        """Print one line."""
        if not self.quiet:
            print(line, file=sys.stderr, flush=True)

    @contextmanager
    def steps(self, label: str, total: int) -> Iterator[Step]:
        """Show how many of `total` steps are done while the block runs."""
        if self.quiet or not total:
            yield lambda: None
        elif sys.stderr.isatty():
            with self._bar(label, total) as step:
                yield step
        else:
            with self._lines(label, total) as step:
                yield step

    @contextmanager
    def bar(self, label: str, total: int, done: int = 0) -> Iterator[Move]:
        """Show a bar of work of which `done` is done, to be moved; lines said meanwhile stand above it.

        Off a terminal nothing is shown: there the caller's lines are all there is.
        """
        if self.quiet or not sys.stderr.isatty():
            yield lambda done, remark: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[remark]}"),
        )
        with Bars(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(label, total=total, completed=done, remark="")
            yield lambda done, remark: bars.update(task, completed=done, remark=remark)

    @contextmanager
    def _bar(self, label: str, total: int) -> Iterator[Step]:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description:<28}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        with Bars(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(label, total=total)
            yield lambda: bars.advance(task)

    @contextmanager
    def _lines(self, label: str, total: int) -> Iterator[Step]:
        began = spoke = time.monotonic()
        done = 0

        def step() -> None:
            nonlocal done, spoke
            done += 1
            if done < total and time.monotonic() - spoke > SECONDS_BETWEEN_LINES:
                spoke = time.monotonic()
                self.say(f"{label:<28} {done}/{total} parts, {spoke - began:.0f} s")

        yield step
        self.say(f"{label:<28} {done}/{total} parts, {time.monotonic() - began:.1f} s")
