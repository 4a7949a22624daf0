"""Which of several copies stays: the `keep` field of every deduplicating stage.

    first               the lowest doc_id
    longest             most characters of `text`
    best:<name>         highest value of a number column, or of a signal that a filter before the stage measured
    source:<a,b,...>    the sources named, in this order, before all others

Ties go to the lowest doc_id.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import RunError, SpecError
from curator.run.corpus import Corpus, Sketches
from curator.run.folder import part_name
from millrace import storage, tables
from millrace.config import did_you_mean

FORMS = ("first", "longest", "best:<signal or column>", "source:<first,second,...>")


@dataclass(frozen=True)
class Policy:
    """A parsed `keep`. Small enough to be sent to every task."""

    kind: Literal["first", "longest", "best", "source"]
    name: str = ""  # best: of the signal or column
    sources: tuple[str, ...] = ()  # source: the preferred ones, in order

    @property
    def needs(self) -> str:
        """Return the signal or column it ranks by, or an empty string."""
        return self.name

    @property
    def ranks(self) -> bool:
        """Tell whether priorities differ at all; without, doc_id alone decides."""
        return self.kind != "first"

    @property
    def reads(self) -> dict[str, str]:
        """Return the columns a sketch must read for it."""
        return {"text": "string"} if self.kind == "longest" else {}

    @property
    def sketches(self) -> dict[str, str]:
        """Return the columns a sketch must hold for it."""
        return {"characters": "int64"} if self.kind == "longest" else {}

    def priorities(self, alive: Sketches, part: int, source: str, table: pa.Table) -> np.ndarray:
        """Return float64 (rows,), smaller is kept first, for documents of one part.

        `table` holds doc_id and `sketches`, rows by doc_id; `source` is the part's. What has no value to be
        ranked by (null, NaN, minus infinity) comes last. Numbers above 2**53 are rounded to float64.
        """
        match self.kind:
            case "longest":
                characters: np.ndarray = table["characters"].to_numpy()
                return -characters.astype(np.float64)
            case "best":
                values = self.values(alive, part, table["doc_id"].to_numpy())
                return np.where(np.isnan(values), np.inf, -values)
            case "source":
                return np.full(len(table), (*self.sources, source).index(source), np.float64)
        return np.zeros(len(table))

    def values(self, alive: Sketches, part: int, ids: np.ndarray) -> np.ndarray:
        """Return float64 (rows,), NaN where there is none, of the signal or else the column `name`.

        ids: uint64 ascending, documents of `part` still alive.
        """
        signals = alive.folder.path(alive.documents.removesuffix("documents") + "signals", part_name(part) + ".parquet")
        for url in (signals, alive.document_file(part)):
            if storage.exists(url):
                with tables.open_parquet(url) as file:
                    if self.name in file.schema_arrow.names:
                        table = file.read(columns=["doc_id", self.name], use_threads=False)
                        place = np.searchsorted(table["doc_id"].to_numpy(), ids)
                        values = pc.fill_null(table[self.name].cast(pa.float64()), np.nan)
                        return np.asarray(values.to_numpy()[place])
        raise RunError(f"keep: best:{self.name}: {signals} does not hold {self.name}, nor do the documents")

    def check_sources(self, stage: str, corpus: Corpus) -> None:
        """Tell the user of sources that no document comes from: a misspelt one would prefer nothing."""
        known = sorted(set(corpus.sources))
        for name in self.sources:
            if name not in known:
                corpus.say(
                    f"{stage}.keep: no document comes from source {name}.{did_you_mean(name, known)} "
                    f"Sources: {', '.join(known) or 'none'}"
                )


def parse(stage: str, keep: str) -> Policy:
    """Return the policy that a stage's `keep` says; raise SpecError in the name of `stage`."""
    kind, colon, rest = keep.partition(":")
    rest = rest.strip()
    if kind in ("first", "longest") and not colon:
        return Policy("first" if kind == "first" else "longest")
    if kind == "best" and rest:
        return Policy("best", name=rest)
    sources = tuple(name.strip() for name in rest.split(","))
    if kind == "source" and all(sources) and not _repeated(sources):
        return Policy("source", sources=sources)
    why = f"; it names {_repeated(sources)} twice" if kind == "source" and _repeated(sources) else ""
    near = did_you_mean(kind, ("first", "longest", "best", "source")) if kind not in ("best", "source") else ""
    raise SpecError(f"{stage}.keep is {keep!r}{why}; it must be one of {', '.join(FORMS)}.{near}")


def _repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    return next((name for name in names if name in seen or seen.add(name)), "")  # type: ignore[func-returns-value]
