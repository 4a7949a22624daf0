"""What a run learns from: examples by position, the same whenever and by whomever they are asked for."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from align.batch import Example
from align.config import Data
from align.data import files, formats, store
from align.data.chat import Chat
from align.data.dropped import Dropped
from align.data.examples import Builder, Kind, Prompt
from align.data.mismatch import mismatched
from align.data.record import Record, Unfit
from align.data.store import Store
from align.errors import DataError
from millrace import storage, tables
from pretrain.data.order import Order, Source

T = TypeVar("T", Example, Prompt)
VERSION = 2  # of what is made of the same records and settings


class Dataset(Generic[T]):
    """Examples (or prompts) in an endless order: each once an epoch, and each epoch in an order of its own."""

    def __init__(
        self, items: Sequence[T], global_batch: int, seed: int = 0, *, fingerprint: str = "", shuffle: bool = True,
        batched: Callable[[list[T]], list[T]] | None = None,
    ) -> None:  # fmt: skip
        """Take items; `batched`: what is done to a whole batch (KTO's mismatched pairs)."""
        self.items: Sequence[T] = items
        self.global_batch, self.fingerprint = global_batch, fingerprint
        self._order = Order([Source(len(items), 1.0, shuffled=False)], seed) if shuffle else None
        self._batched: Callable[[list[T]], list[T]] | None = batched

    def __len__(self) -> int:
        """Examples of an epoch."""
        return len(self.items)

    def batch(self, step: int) -> list[T]:
        """Return the examples of a step (from 0): `global_batch` of them, the last of an epoch with the first of the
        next. It depends on nothing that was asked for before."""
        first = step * self.global_batch
        return self._made(self.positions(first, first + self.global_batch))

    def positions(self, first: int, stop: int) -> np.ndarray:
        """Return which items stand at places first to stop - 1 of the endless order, int64 (n,)."""
        if self._order is None:
            return np.arange(first, stop) % len(self.items)
        return self._order[first:stop][1]

    def steps(self, epochs: float) -> int:
        """Return how many steps see every example so many times; the last one may begin another epoch."""
        return max(math.ceil(len(self.items) * epochs / self.global_batch), 1)

    def __iter__(self) -> Iterator[list[T]]:
        """Yield every example once, as it stands in the files, in batches of which the last may be smaller.

        Where batches are made of each other's answers, one that would be left alone joins the last batch.
        """
        starts: list[int] = list(range(0, len(self.items), self.global_batch))
        if self._batched and len(starts) > 1 and starts[-1] == len(self.items) - 1:
            starts.pop()
        for first, stop in itertools.pairwise([*starts, len(self.items)]):
            yield self._made(np.arange(first, stop))

    def _made(self, positions: np.ndarray) -> list[T]:
        batch = [self.items[int(n)] for n in positions]
        return self._batched(batch) if self._batched else batch


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """A run's data."""

    train: Dataset[T]
    validation: Dataset[T] | None
    dropped: Dropped  # what was not used, and why; `text()` is for the console
    fingerprint: str  # of the files' content and every setting that shapes the examples
    attributes: tuple[str, ...] = ()  # of kinds attributes and steered, in the order of the field


@dataclass(frozen=True)
class _Some(Sequence[Any]):
    """Items of a store by a list of positions."""

    store: Store
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, position: Any) -> Any:
        return self.store[int(self.rows[position])]


def load(
    data: Data, chat: Chat, kind: Kind, *, max_length: int, global_batch: int, room: int = 0,
    attributes: tuple[str, ...] = (), numbers: tuple[str, ...] = (), gold: bool = False, cache: str = "",
) -> Loaded[Any]:  # fmt: skip
    """Return the data of a run as examples (of kind "prompts", as Prompts).

    `attributes`: of kinds attributes and steered; (): all that the first record has. `room`: of prompts, tokens kept
    for completions. `numbers`: of pairs, the fields they keep, and without which they are dropped. `gold`: prompts
    bring the record's own answer. `cache`: a folder in which tokens are kept by their fingerprint, and found by the
    next run; "": they are made anew, in memory.

    Validation is `data.validation`, or else of `data.path` the `validation_share` whose ids hash lowest: the same
    records whatever else is in the files. Raises DataError: nothing can be used; a record is too long and
    `data.too_long` says refuse; labels are all of one class; there are fewer examples than a global batch holds.
    """
    builder = Builder(chat, max_length, data.train_on, data.too_long, room, attributes, gold, numbers)
    fingerprint = fingerprint_of(data, builder, kind)
    place = storage.join(cache, f"{kind}-{fingerprint}") if cache else ""
    if place and storage.exists(place + ".json"):
        told = storage.read_json(place + ".json")
        made, attributes = store.opened(place + ".arrow"), tuple(told.pop("attributes"))
        dropped = Dropped.of(told)
    else:
        dropped = Dropped()
        builder = dataclasses.replace(builder, note=lambda note: dropped.notes.update([note]))
        reading = _Reading(data, kind, builder, dropped)
        made = store.made_of(reading.items())
        attributes = reading.builder.attributes
        dropped.refuse_if_all()
        if place:
            made.write(place + ".arrow")
            storage.write_json(place + ".json", {**dropped.as_dict(), "attributes": attributes})
    return _split(data, made, kind, dropped, fingerprint, global_batch, max_length, attributes)


def has(data: Data, names: Collection[str]) -> bool:
    """Tell whether a record of `data.path` has all these fields. Reads up to the first one that has."""
    found = formats.read(data.path, data.format, Dropped(), data.limit)
    return any(record.fields.keys() >= set(names) for record in found)


def fingerprint_of(data: Data, builder: Builder, kind: Kind) -> str:
    """Return a hash of the files' content and of all that shapes examples: settings, template, tokenizer."""
    import xxhash

    tokenizer = builder.chat.tokenizer
    shaping = {
        "version": VERSION, "kind": kind, "format": data.format, "limit": data.limit, "seed": data.seed,
        "share": data.validation_share, "train_on": builder.train_on, "too_long": builder.too_long,
        "max_length": builder.max_length, "room": builder.room, "attributes": builder.attributes, "gold": builder.gold,
        "numbers": builder.numbers,
        "template": builder.chat.template.source,
        "tokenizer": xxhash.xxh3_128_hexdigest(tokenizer.backend_tokenizer.to_str().encode()),
        "files": [tables.checksum(one.url) for one in files.listed(data.path)],
        "validation": [tables.checksum(one.url) for one in files.listed(data.validation)] if data.validation else [],
    }  # fmt: skip
    return str(xxhash.xxh3_128_hexdigest(json.dumps(shaping, sort_keys=True).encode()))


@dataclass
class _Reading:
    """Turns records into items and counts what is left out."""

    data: Data
    kind: Kind
    builder: Builder
    dropped: Dropped
    seen: Counter[str] = field(default_factory=Counter)

    def items(self) -> Iterator[tuple[Example | Prompt, bool]]:
        data = self.data
        for path, validates in ((data.path, False), (data.validation, True)):
            if not path:
                continue
            for record in formats.read(path, data.format, self.dropped, 0 if validates else data.limit):
                try:
                    item = self.item(record)
                except Unfit as unfit:
                    if unfit.reason == "too long" and data.too_long == "refuse":
                        raise DataError(
                            f"{record.place} is too long: {unfit.detail}; data.too_long may be drop or truncate"
                        ) from None
                    self.dropped.add(record.place, unfit)
                    continue
                yield item, validates or (not data.validation and _drawn(record.id, data.validation_share))

    def item(self, record: Record) -> Example | Prompt:
        if self.kind in ("attributes", "steered") and not self.builder.attributes:
            self.builder = dataclasses.replace(self.builder, attributes=tuple(record.fields))
        item = self.builder.build(self.kind, record)
        self.seen[item.id] += 1
        if self.seen[item.id] > 1:
            self.dropped.notes["records of an id that was there before (kept, under an id of their own)"] += 1
            return dataclasses.replace(item, id=f"{item.id}~{self.seen[item.id]}")
        return item


def _drawn(id: str, share: float) -> bool:
    """Tell whether a record is for validation."""
    import xxhash

    return xxhash.xxh3_64_intdigest(id.encode()) < share * 2.0**64


def _split(
    data: Data, made: Store, kind: Kind, dropped: Dropped, fingerprint: str, global_batch: int, max_length: int,
    attributes: tuple[str, ...],
) -> Loaded[Any]:  # fmt: skip
    train, validation = np.flatnonzero(~made.validation), np.flatnonzero(made.validation)
    wanted = bool(data.validation) or data.validation_share > 0
    if wanted and not len(validation):
        raise DataError(
            f"no example is left to validate on: data.validation_share is {data.validation_share}, of {len(made)}"
        )
    if len(train) < (1 if kind == "prompts" else global_batch):
        raise DataError(f"{len(train)} examples to train on are fewer than training.global_batch, {global_batch}")
    batched = None
    if kind == "labelled":
        labels = {made[int(n)].fields["label"] for n in train}
        if len(labels) == 1:
            raise DataError(f"all {len(train)} labels are {'good' if labels == {1.0} else 'bad'}; KTO needs both kinds")
        if global_batch < 2:
            raise DataError("training.global_batch is 1; KTO pairs a prompt with another's answer and needs at least 2")

        def batched(batch: list[Any]) -> list[Any]:
            return mismatched(batch, max_length)

    first = Dataset[Any](_Some(made, train), global_batch, data.seed, fingerprint=fingerprint, batched=batched)
    second = Dataset[Any](
        _Some(made, validation), global_batch, fingerprint=fingerprint, shuffle=False, batched=batched
    )
    return Loaded(first, second if wanted else None, dropped, fingerprint, attributes)
