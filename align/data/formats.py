"""The formats of data: how each is known by its fields, and what turns its records into ours."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from align.data import files
from align.data.dropped import Dropped
from align.data.preferences import asked, kto, number, preference
from align.data.record import Message, Raw, Record, Unfit, id_of
from align.data.tasks import prompts
from align.data.turns import definitions, in_order, text_of, turns
from align.errors import DataError

LOOKED_AT = 10  # records of a file, to know its format
HELPSTEER = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")


def alpaca(raw: Raw, place: str) -> Record:
    """Return a record of instruction, input, output; with `history`, pairs of turns before, and `system`.

    So are Dolly's instruction, context, response, and self-instruct's instruction with instances, of which the first
    is taken.
    """
    match raw.get("instances"):
        case [dict() as first, *_]:
            raw = {**raw, **first}
    before: list[Message] = []
    for pair in _list(raw.get("history"), "history"):
        asks, answers = pair if isinstance(pair, list) and len(pair) == 2 else (None, None)
        before += [Message("user", text_of(asks)), Message("assistant", text_of(answers))]
    question = asked(raw)
    system = [one for one in question if one.role == "system"]
    answer = Message("assistant", text_of(raw.get("output", raw.get("response"))))
    return _conversation(raw, place, (*system, *before, *question[len(system) :], answer))


def sharegpt(raw: Raw, place: str) -> Record:
    """Return a record of conversations, turns {from, value}; with `system` and `tools`."""
    return _conversation(raw, place, turns(raw.get("conversations"), raw.get("system")))


def messages(raw: Raw, place: str) -> Record:
    """Return a record of OpenAI messages, turns {role, content}; with `tools`."""
    return _conversation(raw, place, turns(raw.get("messages"), raw.get("system")))


def helpsteer(raw: Raw, place: str) -> Record:
    """Return a rated answer: prompt, response, and every other field that is a number, as an attribute.

    An attribute that is null or absent is not rated; one that is NaN is unfit.
    """
    rated = {n: v for n, v in raw.items() if isinstance(v, int | float) and not isinstance(v, bool) and n != "id"}
    rated |= {name: raw[name] for name in HELPSTEER if raw.get(name) is not None}
    given = (*asked(raw), Message("assistant", text_of(raw.get("response"))))
    in_order(given)
    fields = {name: number(name, value) for name, value in rated.items()}
    if not fields:
        raise Unfit("no attribute", f"its fields are {', '.join(map(str, raw))}")
    return Record(id_of(raw, (given, *sorted(fields.items()))), place, given, (), fields)


def _list(value: Any, name: str) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise Unfit("no conversation", f"{name} is {type(value).__name__}; a list was expected")
    return value or []


def _conversation(raw: Raw, place: str, given: tuple[Message, ...]) -> Record:
    in_order(given)
    tools = definitions(raw.get("tools"))
    return Record(id_of(raw, (given, tools)), place, given, tools=tools)


FORMATS: dict[str, Callable[[Raw, str], Record]] = {
    "alpaca": alpaca, "sharegpt": sharegpt, "messages": messages, "preference": preference, "kto": kto,
    "helpsteer": helpsteer, "prompts": prompts,
}  # fmt: skip
KNOWN_BY: tuple[tuple[str, tuple[str, ...]], ...] = (  # the first whose fields a record has
    ("preference", ("chosen", "rejected")), ("preference", ("chosen",)), ("preference", ("rejected",)),
    ("kto", ("kto_tag",)), ("kto", ("prompt", "completion", "label")),
    ("kto", ("messages", "label")), ("kto", ("conversations", "label")),
    ("helpsteer", ("prompt", "response", "helpfulness")),
    ("sharegpt", ("conversations",)), ("messages", ("messages",)),
    ("alpaca", ("instruction", "output")), ("alpaca", ("instruction", "instances")),
    ("alpaca", ("instruction", "response")),
    ("prompts", ("question", "answer")), ("prompts", ("problem", "solution")), ("prompts", ("problem", "answer")),
    ("prompts", ("prompt",)), ("prompts", ("question",)), ("prompts", ("problem",)), ("prompts", ("instruction",)),
)  # fmt: skip


def format_of(raw: Any) -> str:
    """Return the format that a record's fields tell, "" where they tell none."""
    if not isinstance(raw, dict):
        return ""
    return next((name for name, fields in KNOWN_BY if all(field in raw for field in fields)), "")


def read(path: Any, format: str, dropped: Dropped, limit: int = 0) -> Iterator[Record]:
    """Yield the records of files, each file in one format; what is unfit is counted in `dropped` and left out.

    "auto": by the fields of a file's first records. `limit`: records that are read; 0: all. Raises DataError for a
    file whose first records are of several formats or of none.
    """
    count = 0
    for file in files.listed(path):
        found = itertools.islice(files.records(file.url), limit - count if limit else None)
        first = list(itertools.islice(found, LOOKED_AT))
        name = format if format != "auto" else detected(first)
        for one in itertools.chain(first, found):
            count += 1
            dropped.read += 1
            try:
                yield record_of(one, name)
            except Unfit as unfit:
                dropped.add(one.place, unfit)
        if count == limit > 0:
            return


def record_of(found: files.Found, format: str) -> Record:
    """Return what a file holds at one place as a record of a format. Raises Unfit."""
    if found.unfit:
        raise found.unfit
    if not isinstance(found.value, dict):
        raise Unfit("no object", f"a record is {type(found.value).__name__}")
    seen = format_of(found.value)
    if seen != format and not _readable(found.value, format):
        raise Unfit(
            f"not {format}", f"its fields are {', '.join(map(str, found.value))}" + (f": {seen}?" if seen else "")
        )
    return FORMATS[format](found.value, found.place)


def _readable(raw: Raw, format: str) -> bool:
    """Tell whether a record has the fields of a format it would not be known by first."""
    return any(name == format and all(field in raw for field in fields) for name, fields in KNOWN_BY)


def detected(first: list[files.Found]) -> str:
    """Return the format of a file by its first records. Raises DataError where they tell several, or none."""
    told: dict[str, str] = {}  # format -> the first place of it
    for one in first:
        if name := format_of(one.value):
            told.setdefault(name, one.place)
    if len(told) > 1:
        said = ", ".join(f"{place} is {name}" for name, place in told.items())
        raise DataError(f"mixed formats: {said}; put each in files of its own, or name one with data.format")
    if not told and first:
        found = first[0]
        why = f"{found.unfit.reason}: {found.unfit.detail}" if found.unfit else "no object"
        fields = ", ".join(map(str, found.value)) if isinstance(found.value, dict) else why
        raise DataError(
            f"{found.place}: no format is known by its fields ({fields}); "
            f"name one with data.format: {', '.join(FORMATS)}"
        )
    return next(iter(told), "messages")
