"""What a rank and its launcher tell each other: exit codes, names of variables, and what went wrong."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from millrace import storage
from millrace.errors import MillraceError
from pretrain.errors import TrainingError

DONE, FAILED, MISTAKE, HANG = 0, 1, 64, 75  # 64, 75: EX_USAGE and EX_TEMPFAIL of sysexits.h
LAUNCHED = "MILLRACE_LAUNCHED"  # set in ranks that our launcher started: it reports their failures
DEBUG = "MILLRACE_DEBUG"  # set: tracebacks on the terminal


@dataclass(frozen=True)
class Failure:
    """Why a rank ended."""

    kind: str  # name of the error's class
    message: str  # one line
    mistake: bool  # of the user: a restart would not mend it
    ranks: tuple[int, ...] = ()  # that are named for it, where it was not this one
    time: float = field(default_factory=time.time)  # seconds since 1970

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Describe an error that was raised in a rank."""
        kind, mistake = type(error).__name__, isinstance(error, MillraceError)
        text = " ".join(str(error).split())
        return cls(kind, text if mistake else f"{kind}: {text}", mistake)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def error(self) -> MillraceError:
        """Return the error that was raised in the rank, or TrainingError where it is none of ours."""
        return _errors(MillraceError).get(self.kind, TrainingError)(self.message)


def _errors(root: type[MillraceError]) -> dict[str, type[MillraceError]]:
    """Return an error's class and all below it, of the packages that are imported, by their names."""
    found = {root.__name__: root}
    for below in root.__subclasses__():
        found |= _errors(below)
    return found


def read_failure(folder: str, rank: int) -> Failure | None:
    """Return what a rank wrote before it ended, None where it wrote nothing."""
    url = storage.join(folder, "ranks", f"error-{rank:03}.json")
    if not storage.exists(url):
        return None
    values = storage.read_json(url)
    return Failure(**values | {"ranks": tuple(values["ranks"])})


def forget_failures(folder: str) -> None:
    """Delete what ranks of an earlier attempt wrote."""
    place = storage.join(folder, "ranks")
    for name in storage.list_folder(place):
        if name.startswith("error-"):
            storage.remove(storage.join(place, name))


def rank_log(folder: str, rank: int) -> str:
    """Return the file of a rank's stacks and tracebacks, and of its output where it is not rank 0."""
    return storage.join(folder, "ranks", f"rank-{rank:03}.log")
