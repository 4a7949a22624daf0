"""A pipeline is a tuple of stages whose columns fit together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curator.errors import ColumnError
from curator.stage import Filter, Reader, Stage

if TYPE_CHECKING:
    from curator.run.runner import Result


@dataclass(frozen=True)
class Pipeline:
    """Stages in order; the first is a reader. Raises ColumnError where a stage cannot follow."""

    stages: tuple[Stage, ...] = field()

    def __init__(self, stages: Iterable[Stage]):
        object.__setattr__(self, "stages", tuple(stages))
        check_columns(self.stages)

    def __or__(self, other: Stage | Pipeline) -> Pipeline:
        return Pipeline(self.stages + (other.stages if isinstance(other, Pipeline) else (other,)))

    def __str__(self) -> str:
        return " | ".join(type(stage).__name__ for stage in self.stages)

    def run(self, output: str, **options: Any) -> Result:
        """Run to a folder; see curator.run.runner.run for the options."""
        from curator.run.runner import run

        return run(self, output, **options)


def check_columns(stages: tuple[Stage, ...]) -> dict[str, str]:
    """Return the columns after the last stage, name -> type name; raise ColumnError where stages do not fit.

    Stages that still wait for their reader (`FixUnicode() | ExactDedup()`) are checked once it is there.
    """
    for position, stage in enumerate(stages[1:], start=1):
        if isinstance(stage, Reader):
            raise ColumnError(f"stage {position} {type(stage).__name__} is a reader; a reader comes first")
    if not stages or not isinstance(stages[0], Reader):
        return {}
    known = dict(stages[0].writes)
    for position, stage in enumerate(stages[1:], start=1):
        for column, kind in stage.reads.items():
            if known.get(column) != kind:
                raise ColumnError(
                    f"stage {position} {type(stage).__name__} reads {column} ({kind}), but the stages before it "
                    f"give {known.get(column, 'no such column')}. "
                    f"Available: {', '.join(f'{c} ({k})' for c, k in known.items())}"
                )
        known |= stage.writes
        for column in stage.drops:
            known.pop(column, None)
    _check_signals([stage for stage in stages if isinstance(stage, Filter)])
    return known


def _check_signals(filters: list[Filter]) -> None:
    """Two filters may give one signal only out of one shared pass."""
    owners: dict[str, Filter] = {}
    for stage in filters:
        for signal in stage.signals:
            owner = owners.setdefault(signal, stage)
            if owner is not stage and (stage.shared_pass is None or stage.shared_pass != owner.shared_pass):
                raise ColumnError(
                    f"{type(stage).__name__} measures {signal}, which {type(owner).__name__} measures too"
                )
