"""Which attributes are asked for, and which of a reward model's outputs measures each: by name, where it has names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from align.data.examples import Prompt
from align.errors import AlignSettingsError, DataError, ModelError
from millrace import storage
from millrace.config import did_you_mean

UNNAMED = re.compile(r"LABEL_\d+")  # what transformers calls an output that was given no name


def labels(folder: str) -> list[str]:
    """Return what a reward model calls its outputs, in their order."""
    told = storage.read_json(storage.join(folder, "config.json"))
    named = told.get("id2label")
    if named is None:
        return [f"LABEL_{n}" for n in range(told.get("num_labels", 2))]  # transformers' default
    return [named[key] for key in sorted(named, key=int)]


def columns(folder: str, names: Sequence[str], setting: str) -> list[int]:
    """Return the number of the output that measures each attribute.

    Raises ModelError where outputs have no names and are not as many as the attributes, AlignSettingsError naming
    those there are where an attribute is none of them.
    """
    there = labels(folder)
    if all(UNNAMED.fullmatch(one) for one in there):
        if len(there) != len(names):
            raise ModelError(
                f"{setting} {folder} gives {len(there)} scores without names, {len(names)} expected: {', '.join(names)}"
            )
        return list(range(len(names)))
    for name in names:
        if name not in there:
            raise AlignSettingsError(
                f"{setting} {folder} does not measure {name}.{did_you_mean(name, there)} It measures {', '.join(there)}"
            )
    return [there.index(name) for name in names]


def asked(names: Sequence[str], folder: str, prompts: Iterable[Prompt]) -> tuple[str, ...]:
    """Return the attributes SteerLM 2 asks for: `names`, else those of the first record that the model measures.

    Raises AlignSettingsError where no record has one, DataError where one is no number; reads all prompts.
    """
    there: dict[str, None] = {}
    rated = [(one, {k: v for k, v in one.task.items() if isinstance(v, int | float)}) for one in prompts]
    for _, given in rated:
        there.update(dict.fromkeys(given))
    for name in names:
        if name not in there:
            found = f"Records have {', '.join(there)}" if there else "They have none at all"
            raise AlignSettingsError(f"no record has the attribute {name}.{did_you_mean(name, there)} {found}")
    measured = labels(folder)
    unnamed = all(UNNAMED.fullmatch(one) for one in measured)
    of_first = rated[0][1] if unnamed else there
    wanted = tuple(names) or tuple(name for name in of_first if unnamed or name in measured)
    if not wanted:
        raise AlignSettingsError(
            f"no record has an attribute that {folder} measures ({', '.join(measured)}); "
            f"records have {', '.join(there) or 'none'}"
        )
    for prompt, _ in rated:
        wishes(prompt, wanted)
    return wanted


def wishes(prompt: Prompt, names: Sequence[str]) -> dict[str, float]:
    """Return a record's attributes; NaN for one that is not rated. Raises DataError where one is no number."""
    return {name: _number(prompt, name, prompt.task.get(name)) for name in names}


def _number(prompt: Prompt, name: str, value: Any) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, int | float):
        raise DataError(f"prompt {prompt.id}: attribute {name} is {value!r}; a number is expected, or null")
    return float(value)
