"""Where in the texts of a batch personal data stands: quick signs by RE2 first, exact searches where they show."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.clean.pii import secrets
from curator.clean.pii.entities import Entity

Found = tuple[int, int, int, int]  # text, start, stop (bytes of the text), number of the entity in the list
ROUNDS = 8  # of searching what is left of a line; two find nearly all, and more than a few are an attack
BREAK = b"\n"  # no search goes beyond one; hides what is found already


def found(texts: pa.LargeStringArray, entities: Sequence[Entity]) -> list[Found]:
    """Return the spans of entities in the texts, by text and start, apart. A missing text has none.

    Texts in which RE2 sees the sign of any entity are cut into lines, and only the lines with a sign of an
    entity are searched for it, so an entity lies in one line; private keys alone go over several. Of spans that
    overlap the leftmost is taken, of those the longest, of those the first of `entities`; what is left around
    it is searched again, as it would be in the edited text.

    RE2 and the searches take time in proportion to the bytes. On web text RE2 sees 500 MB/s a core, and a
    third of the bytes is in texts with a sign.
    """
    rows = _rows(pc.match_substring_regex(texts, _any_sign(tuple(entities))))
    if not len(rows):
        return []
    few = texts.take(pa.array(rows))
    keys = _keys(few, entities)
    spans: list[Found] = [(int(rows[row]), *span) for row, taken in keys.items() for span in taken]
    lines = pc.split_pattern(_hidden(few, keys) if keys else few, "\n")
    flat, first = lines.flatten(), np.asarray(lines.offsets) - lines.offsets[0].as_py()
    begins = _begins(flat, first)
    text_of = np.repeat(rows, np.diff(first))
    for line, content, numbers in _suspects(flat, entities):
        at = int(begins[line])
        named = [(number, entities[number]) for number in numbers]
        spans += [(int(text_of[line]), at + a, at + b, n) for a, b, n in spans_of(content, named)]
    return sorted(spans)


def spans_of(line: bytes, entities: Iterable[tuple[int, Entity]]) -> list[tuple[int, int, int]]:
    """Return the spans (start, stop, number) in a line, in order and apart: leftmost, longest, first number.

    What is taken is hidden behind line breaks of its length, and the rest searched again, ROUNDS times at most.
    """
    taken: list[tuple[int, int, int]] = []
    named = list(entities)
    for _ in range(ROUNDS):
        seen = [(start, -stop, number) for number, entity in named for start, stop in entity.find(line)]
        if not seen:
            break
        reached, hidden = 0, bytearray(line)
        for start, minus_stop, number in sorted(seen):
            if start >= reached:
                reached = -minus_stop
                taken.append((start, reached, number))
                hidden[start:reached] = BREAK * (reached - start)
        line = bytes(hidden)
    return sorted(taken)


@functools.cache
def _any_sign(entities: tuple[Entity, ...]) -> str:
    return "|".join(entity.sign for entity in entities)


def _rows(mask: Any) -> np.ndarray:
    """Return the places of a mask that are true, int64; null is not."""
    return np.flatnonzero(pc.fill_null(mask, False).to_numpy(zero_copy_only=False))


def _suspects(lines: pa.LargeStringArray, entities: Sequence[Entity]) -> Iterator[tuple[int, bytes, list[int]]]:
    """Yield each line that shows a sign, with the numbers of the entities whose sign it is."""
    rows = _rows(pc.match_substring_regex(lines, _any_sign(tuple(entities))))
    few = lines.take(pa.array(rows))
    shown = np.array([pc.match_substring_regex(few, entity.sign).to_numpy(zero_copy_only=False) for entity in entities])
    for row, line, flags in zip(rows.tolist(), few.cast(pa.large_binary()).to_pylist(), shown.T.tolist()):
        yield row, line, [number for number, flag in enumerate(flags) if flag]


def _begins(lines: pa.LargeStringArray, first: np.ndarray) -> np.ndarray:
    """Return where in its text each line begins; text i has lines first[i] to first[i + 1]."""
    ends = np.append(0, np.cumsum(pc.binary_length(lines).to_numpy(zero_copy_only=False) + len(BREAK)))
    begins: np.ndarray = ends[:-1] - np.repeat(ends[first[:-1]], np.diff(first))
    return begins


def _keys(texts: pa.LargeStringArray, entities: Sequence[Entity]) -> dict[int, list[tuple[int, int, int]]]:
    """Return the private keys in the texts by row, where secrets are asked for."""
    number = next((n for n, entity in enumerate(entities) if entity.find is secrets.find), None)
    if number is None:
        return {}
    rows = _rows(pc.match_substring(texts, "PRIVATE KEY"))
    each = {row: secrets.blocks(texts[row].as_py().encode()) for row in rows.tolist()}
    return {row: spans for row, found in each.items() if (spans := [(a, b, number) for a, b in found])}


def _hidden(texts: pa.LargeStringArray, spans: dict[int, list[tuple[int, int, int]]]) -> pa.LargeStringArray:
    """Return the texts with the spans behind line breaks of their length."""
    rows = sorted(spans)
    edited = []
    for row in rows:
        text = bytearray(texts[row].as_py().encode())
        for start, stop, _ in spans[row]:
            text[start:stop] = BREAK * (stop - start)
        edited.append(text.decode())
    mask = np.zeros(len(texts), bool)
    mask[rows] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array(edited, pa.large_string()))
