"""Supervised fastText models (Joulin et al. 2016, Bag of Tricks) on local files."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curator.errors import ModelError

LABEL = "__label__"  # before each label, in the model and in its training text

Predict = Callable[[str, int, float, str], list[tuple[float, str]]]  # line, labels, least probability, errors


def load(path: str) -> Any:
    """Return the compiled model (`.f` of the Python one, whose predict fails with numpy 2).

    Loaded once a process and state of the file. Raises ModelError where it is no supervised model.
    """
    place = Path(path)
    if not place.is_file():
        raise ModelError(f"there is no model file {path}; expected a supervised fastText model (.bin or .ftz)")
    return _load(path, place.stat().st_mtime_ns)


def labels(model: Any) -> list[str]:
    """Return what a model tells, sorted."""
    return sorted(label.removeprefix(LABEL) for label in model.getLabels("strict")[0])


@functools.lru_cache(maxsize=2)
def _load(path: str, changed: int) -> Any:
    import fasttext

    try:
        model = fasttext.load_model(path).f
        kind = model.getArgs().model.name
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ModelError(f"{path} is not a fastText model (.bin or .ftz): {error}") from None
    if kind != "supervised":
        raise ModelError(f"{path} is a {kind} model; expected a supervised fastText model")
    return model
