"""Functions that Numba compiles once and keeps: where, and until when.

Compiled code is kept in NUMBA_CACHE_DIR; where that is not set beside the source; where that cannot be written in the
user's cache folder; and where no folder can be written it is compiled anew by every process, in memory.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numba import njit

Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(fastmath: bool | set[str] = False) -> Callable[[Kernel], Kernel]:
    """Return a decorator: the function is compiled on its first call, and lets go of Python's lock.

    What is kept holds as long as the source file says the same, wherever it was copied and whenever.
    """

    def made(function: Kernel) -> Kernel:
        version: Any = njit(nogil=True, fastmath=fastmath, error_model="numpy")(function)
        try:
            version.enable_caching()
        except RuntimeError:  # there is no folder that can be written
            return version  # type: ignore[no-any-return]
        version._cache._cache_file._source_stamp = _digest(function.__code__.co_filename)
        return version  # type: ignore[no-any-return]

    return made


def inlined(function: Kernel) -> Kernel:
    """Return a function that is compiled into those that call it."""
    made: Kernel = njit(inline="always")(function)
    return made


@functools.cache
def _digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
