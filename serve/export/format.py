"""What every export format is: a frozen dataclass of its settings that writes a folder and tests what it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from serve.export.source import Source


@dataclass(frozen=True)
class Verdict:
    """What the test of a written folder found; a folder that would load wrong raises ExportError instead."""

    cosine: float | None  # of logits, written against source, the lowest over positions; None: not computable here
    compared: int  # tensors whose names, shapes and values were held against the source
    worst: float  # largest relative difference of a tensor from the source's (L2), after scales
    scales: tuple[float, float] | None = None  # smallest and largest scale, of quantised weights
    notes: tuple[str, ...] = field(default=())  # what else a reader must know, a line each


class Format(Protocol):
    """One way to write a model. Its fields are its whole configuration; `millrace export --set FIELD=VALUE`."""

    name: ClassVar[str]  # as `--to` has it
    library: ClassVar[str]  # of Python that opens the folder, as the Hub names it; "" where there is none

    def refuse(self, source: Source) -> None:
        """Raise ExportError or ServeSettingsError where the format cannot hold this model; reads no tensor."""
        ...

    def plan(self, source: Source) -> Mapping[str, int]:
        """Return the files of weights that `write` will write, with the bytes of their tensors; reads no tensor."""
        ...

    def write(self, source: Source, folder: str) -> float:
        """Write the folder's files, tensor by tensor: memory is one output shard and the largest tensor, at most.

        Returns the seconds of calibration among those it took; 0.0 where nothing is calibrated.
        """
        ...

    def test(self, source: Source, folder: str) -> Verdict:
        """Read what was written as its consumer would, and hold it against the source. Raises ExportError."""
        ...
