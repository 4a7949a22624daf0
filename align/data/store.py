"""Examples and prompts as one Arrow table: in memory, or in a file that is mapped and not read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from align.batch import Example, TokenSequence
from align.data.examples import Prompt
from align.data.record import Message
from millrace import tables

SCHEMA = pa.schema([
    ("id", pa.large_string()),
    ("validation", pa.uint8()),
    ("lengths", pa.large_list(pa.int64())),  # of the item's sequences
    ("tokens", pa.large_list(pa.int32())),  # of all of them, one after another
    ("mask", pa.large_list(pa.uint8())),
    ("rest", pa.large_string()),  # JSON: an example's fields, or what else a prompt has
])  # fmt: skip
BLOCK = 4096  # items turned to Arrow at a time


class Store(Sequence[Any]):
    """Items by their position. 5 bytes a token, and an item's fields as JSON."""

    def __init__(self, table: pa.Table) -> None:
        """Take a table of SCHEMA."""
        self._columns = {name: _flat(table[name]) for name in ("lengths", "tokens", "mask")}
        self._ids, self._rest = table["id"], table["rest"]
        self.validation: np.ndarray = table["validation"].to_numpy().astype(bool)
        self.table = table

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[n] for n in range(*position.indices(len(self)))]
        lengths, tokens, mask = (values[at[position] : at[position + 1]] for values, at in self._columns.values())
        bounds = np.append(0, np.cumsum(lengths))
        sequences = tuple(
            TokenSequence(tokens[a:b].astype(np.int64), mask[a:b].astype(bool)) for a, b in itertools.pairwise(bounds)
        )
        return _item(self._ids[position].as_py(), sequences, json.loads(self._rest[position].as_py()))

    def lengths(self) -> np.ndarray:
        """Return the tokens of each item, int64 (items,), without making any."""
        return np.diff(self._columns["tokens"][1])

    def write(self, url: str) -> None:
        """Write the table to an .arrow file, whole or not at all."""
        tables.write_table(url, self.table)


def made_of(items: Iterable[tuple[Example | Prompt, bool]]) -> Store:
    """Return a store of (item, whether it is for validation)."""
    blocks: list[pa.Table] = []
    rows: list[dict[str, Any]] = []
    for item, validation in items:
        rows.append({"id": item.id, "validation": int(validation), **_row(item)})
        if len(rows) == BLOCK:
            blocks.append(pa.Table.from_pylist(rows, SCHEMA))
            rows = []
    return Store(pa.concat_tables([*blocks, pa.Table.from_pylist(rows, SCHEMA)]).combine_chunks())


def opened(url: str) -> Store:
    """Return a store that was written."""
    return Store(tables.read_table(url).combine_chunks())


def _row(item: Example | Prompt) -> dict[str, Any]:
    if isinstance(item, Example):
        sequences = item.sequences
        rest: dict[str, Any] = {"fields": {name: np.asarray(value).tolist() for name, value in item.fields.items()}}
    else:
        sequences = (TokenSequence(item.tokens, np.zeros(len(item.tokens), bool)), *([item.gold] if item.gold else []))
        turns = [[one.role, one.content, one.calls] for one in item.messages]
        rest = {"text": item.text, "task": item.task, "messages": turns}
    return {
        "lengths": [len(one.tokens) for one in sequences],
        "tokens": np.concatenate([one.tokens for one in sequences]).astype(np.int32),
        "mask": np.concatenate([one.mask for one in sequences]).astype(np.uint8),
        "rest": json.dumps(rest, ensure_ascii=False, default=str),
    }


def _item(id: str, sequences: tuple[TokenSequence, ...], rest: Mapping[str, Any]) -> Example | Prompt:
    if "fields" in rest:
        fields = {n: np.array(v, np.float32) if isinstance(v, list) else v for n, v in rest["fields"].items()}
        return Example(id, sequences, fields)
    messages = tuple(Message(role, content, tuple(calls)) for role, content, calls in rest["messages"])
    gold = sequences[1] if len(sequences) > 1 else None
    return Prompt(id, sequences[0].tokens, rest["text"], rest["task"], messages, gold)


def _flat(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Return a column of lists as (values, where each list begins); int64 (lists + 1,)."""
    array = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    return array.values.to_numpy(zero_copy_only=True), array.offsets.to_numpy(zero_copy_only=True)
