"""What each threshold does, for the report: aggregated tables, and a sample for several moved at once."""

from __future__ import annotations

import typing
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.report.grid import UNMEASURED, grid, positions
from curator.report.spread import Spread
from curator.retune.decide import STAYS, Decided, checked, decide
from curator.retune.filters import Filters, Reason, sliding
from curator.retune.rows import Rows, in_tokens, rows
from curator.retune.tally import Tally
from curator.run.documents import read_documents
from curator.run.folder import RunFolder, part_name
from curator.stage import CHARACTERS
from millrace import storage, tables

SAMPLE = 20_000  # documents at most; up to so many, every number is exact
SAMPLE_BYTES = 1_200_000  # positions, a byte a document and slider: from 60 sliders on, fewer documents
SEED = 4
NAMED = 8  # sources and languages with a row of their own; the rest share one
OTHERS = "others"
NO_LANGUAGE = "not identified"
EXAMPLE_PARTS = 8  # parts whose first row group gives examples: reading texts must not grow with the run
EXAMPLES = 16  # kept documents shown for one threshold, wherever it stands


@dataclass
class Slider:
    """One threshold. Counts are of documents whose fate hangs on it while all others stand as in the run."""

    number: int  # of the reason
    reason: Reason
    limits: np.ndarray  # float64 ascending (limits)
    at: int  # the run's
    whole: bool
    stays: np.ndarray  # int64 (sources, languages, positions, 2): documents and size kept, were they to pass
    unknown: np.ndarray  # int64 (positions, 2): those of whom nobody knows, were they to pass
    near: dict[int, tuple[float, int]] = field(default_factory=dict)  # position -> (value, doc_id): an example

    @property
    def below(self) -> bool:
        assert self.reason.rule is not None
        return self.reason.rule.below

    @property
    def signal(self) -> str:
        assert self.reason.rule is not None
        return self.reason.rule.signal

    def value(self, number: int) -> float | int:
        """Return a limit as it is set."""
        return int(self.limits[number]) if self.whole else float(self.limits[number])


@dataclass
class Sample:
    """Documents of smallest hash among those whose fate hangs on sliders alone."""

    positions: np.ndarray  # uint8 (documents, sliders)
    source: np.ndarray  # uint8
    language: np.ndarray  # uint8
    unknown: np.ndarray  # bool: nobody knows what becomes of it, were it to pass
    size: np.ndarray  # int64
    of: int  # documents it stands for


@dataclass(frozen=True)
class Explorer:
    """All that the page needs to move thresholds."""

    filters: Filters
    sliders: list[Slider]
    tally: Tally  # of the run as it is
    size: str  # what `size` counts: tokens, or characters where nothing was tokenized
    sources: list[str]
    languages: list[str]  # empty: nobody identified them
    kept: np.ndarray  # int64 (sources, languages, 2): documents and size kept in the run as it is
    sample: Sample
    texts: dict[int, tuple[str, str]]  # doc_id -> id and text, of the examples


@dataclass(frozen=True)
class _Names:
    """Which row of the tables a document belongs to."""

    sources: list[str]
    languages: list[str]
    ratio: float | None

    def source(self, batch: Rows) -> int:
        return self.sources.index(batch.source if batch.source in self.sources else OTHERS)

    def language(self, batch: Rows) -> np.ndarray:
        """Return the number of each document's language, int64 (rows)."""
        if not self.languages:
            return np.zeros(len(batch.doc_id), np.int64)
        said = pc.fill_null(batch.signals["lang"], NO_LANGUAGE)
        known = pa.array(self.languages, said.type)
        other = len(self.languages) - 1
        found: np.ndarray = pc.fill_null(pc.index_in(said, known), other).to_numpy().astype(np.int64)
        return found

    def size(self, batch: Rows) -> np.ndarray:
        return batch.characters if self.ratio is None else in_tokens(batch, self.ratio)


def explore(folder: RunFolder, filters: Filters, spreads: dict[str, Spread]) -> Explorer:
    """Return what each threshold does, in two passes over the signals.

    Memory: a row group, the tables (100 positions of each threshold by 9 sources and 9 languages), and
    at most SAMPLE documents of a byte a threshold. The sample is of the doc_ids of smallest hash, so equal runs
    give equal samples. Raises RunError where the signals do not give the run's decisions.
    """
    names = _names(folder, filters)
    shape = (len(names.sources), max(len(names.languages), 1))
    sliders = [_slider(filters.reasons[n], n, spreads, shape) for n in sliding(filters)]
    tally = Tally(len(filters.reasons))
    kept = np.zeros((*shape, 2), np.int64)
    sampling = _Sampling(len(sliders))
    allowed = _with_text(folder)
    for batch in rows(folder, filters.signals):
        decided = decide(filters, batch)
        checked(folder, filters, decided, batch)
        size = names.size(batch)
        tally.add(decided, batch, size)
        held = decided.beyond.sum(axis=1)
        places = np.zeros((len(batch.doc_id), len(sliders)), np.uint8)
        group = names.source(batch) * shape[1] + names.language(batch)
        _add(kept, decided.fate == STAYS, group, size)
        shown = np.isin(batch.doc_id, allowed.get(batch.part, ()))
        for column, slider in enumerate(sliders):
            places[:, column] = _places(slider, batch)
            alone = ~decided.fixed & (held == decided.beyond[:, slider.number])
            _count(slider, places[:, column], alone, decided, group, size)
            _show(slider, places[:, column], alone & shown & (decided.fate == STAYS), batch)
        others = np.delete(decided.beyond, [slider.number for slider in sliders], axis=1)
        free = ~decided.fixed & ~others.any(axis=1)
        sampling.add(batch, places, group, decided, size, free)
    texts = _texts(folder, sliders)
    unit = "characters" if names.ratio is None else "tokens"
    sample = sampling.done(shape[1])
    return Explorer(filters, sliders, tally, unit, names.sources, names.languages, kept, sample, texts)


def _names(folder: RunFolder, filters: Filters) -> _Names:
    """Look at sources, languages and lengths of all documents."""
    sources: Counter[str] = Counter()
    languages: Counter[str] = Counter()
    characters = tokens = 0
    lang = ["lang"] if "lang" in filters.signals else []
    for batch in rows(folder, [CHARACTERS, *lang]):
        sources[batch.source] += len(batch.doc_id)
        if lang:
            counts = pc.value_counts(pc.fill_null(batch.signals["lang"], NO_LANGUAGE))
            languages.update({row["values"]: row["counts"] for row in counts.to_pylist()})
        known = batch.tokens >= 0
        tokens += int(batch.tokens[known].sum())
        characters += int(batch.characters[known].sum())
    ratio = tokens / max(characters, 1) if tokens else None
    return _Names(_most(sources), _most(languages), ratio)


def _most(counter: Counter[str]) -> list[str]:
    """Return the names of most documents, and OTHERS where there are more."""
    ranked = sorted(counter, key=lambda name: (-counter[name], name))
    return ranked if len(ranked) <= NAMED + 1 else [*ranked[:NAMED], OTHERS]


def _slider(reason: Reason, number: int, spreads: dict[str, Spread], shape: tuple[int, int]) -> Slider:
    rule = reason.rule
    assert rule is not None
    stage = reason.decider.stage
    current = getattr(stage, rule.limit)
    hint = typing.get_type_hints(type(stage))[rule.limit]
    whole = int in (hint, *typing.get_args(hint)) and float not in (hint, *typing.get_args(hint))
    limits = grid(spreads.get(rule.signal) or Spread(), current, whole)
    at = int(np.searchsorted(limits, current))
    stays = np.zeros((*shape, len(limits) + 2, 2), np.int64)
    return Slider(number, reason, limits, at, whole, stays, np.zeros((len(limits) + 2, 2), np.int64))


def _places(slider: Slider, batch: Rows) -> np.ndarray:
    """Return each document's position among a slider's limits, uint8 (rows)."""
    values = batch.signals[slider.signal].cast(pa.float64()).to_numpy()  # null becomes NaN
    place = positions(values, slider.limits, slider.below)
    place[batch.fell < slider.reason.decider.group] = UNMEASURED
    return place


def _count(
    slider: Slider, place: np.ndarray, alone: np.ndarray, decided: Decided, group: np.ndarray, size: np.ndarray
) -> None:
    """Count documents and sizes by position, whose fate hangs on this threshold alone."""
    last = len(slider.limits) + 1
    at = np.minimum(place.astype(np.int64), last)
    _add(slider.stays, alone & ~decided.open, group * (last + 1) + at, size)
    _add(slider.unknown, alone & decided.open, at, size)


def _add(table: np.ndarray, mask: np.ndarray, cell: np.ndarray, size: np.ndarray) -> None:
    """Add documents and sizes under a mask to the cells, counted through, of a table (..., 2)."""
    flat = table.reshape(-1, 2)
    flat[:, 0] += np.bincount(cell[mask], minlength=len(flat))
    flat[:, 1] += np.bincount(cell[mask], size[mask], len(flat)).astype(np.int64)  # below 2**53: exact


def _show(slider: Slider, place: np.ndarray, mask: np.ndarray, batch: Rows) -> None:
    """Remember one kept document at each position, as an example."""
    found, first = np.unique(place[mask], return_index=True)
    for position, row in zip(found.tolist(), np.flatnonzero(mask)[first].tolist(), strict=True):
        if position != UNMEASURED and position not in slider.near:
            value = batch.signals[slider.signal][row].as_py()
            slider.near[position] = (float(value), int(batch.doc_id[row]))


class _Sampling:
    """Keeps the documents of smallest hash."""

    def __init__(self, sliders: int):
        self.of = 0
        self.most = min(SAMPLE, SAMPLE_BYTES // max(sliders, 1))
        kind = [("hash", "u8"), ("at", "u1", (sliders,)), ("group", "i4"), ("unknown", "?"), ("size", "i8")]
        self.kept = np.zeros(0, np.dtype(kind))

    def add(
        self,
        batch: Rows,
        places: np.ndarray,
        group: np.ndarray,
        decided: Decided,
        size: np.ndarray,
        free: np.ndarray,
    ) -> None:
        """Look at some documents; `free` bool (rows): those whose fate hangs on sliders alone."""
        self.of += int(free.sum())
        more = np.zeros(int(free.sum()), self.kept.dtype)
        more["hash"] = _hashed(batch.doc_id[free])
        more["at"], more["group"] = places[free], group[free]
        more["unknown"], more["size"] = decided.open[free], size[free]
        if len(self.kept) == self.most:
            more = more[more["hash"] < self.kept["hash"][-1]]
        both = np.concatenate([self.kept, more])
        self.kept = both[np.argsort(both["hash"], kind="stable")[: self.most]]

    def done(self, languages: int) -> Sample:
        kept = self.kept
        source, language = np.divmod(kept["group"], languages)
        return Sample(
            kept["at"], source.astype(np.uint8), language.astype(np.uint8), kept["unknown"], kept["size"], self.of
        )


def _hashed(doc_id: np.ndarray) -> np.ndarray:
    """Return the ids hashed with SEED, uint64: the finaliser of SplitMix64 (Steele et al. 2014)."""
    x = doc_id + np.uint64(SEED * 0x9E3779B97F4A7C15 % (1 << 64))
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _with_text(folder: RunFolder) -> dict[int, np.ndarray]:
    """Return the doc_ids, by part, that lie in the first row group of a few parts: whose text is quickly read."""
    files = storage.list_folder(folder.path("documents"))
    step = -(-len(files) // EXAMPLE_PARTS) if files else 1
    found = {}
    for name in files[::step]:
        with tables.open_parquet(folder.path("documents", name)) as file:
            if file.num_row_groups and "text" in file.schema_arrow.names:
                ids = file.read_row_group(0, columns=["doc_id"], use_threads=False)["doc_id"].to_numpy()
                found[int(name.removesuffix(".parquet").removeprefix(part_name(0)[:5]))] = ids
    return found


def _texts(folder: RunFolder, sliders: list[Slider]) -> dict[int, tuple[str, str]]:
    """Thin the examples out, and read their texts."""
    for slider in sliders:
        nearest = sorted(slider.near, key=lambda p: (abs(p - slider.at - 0.5), p))
        spread = sorted(slider.near)[:: max(1, -(-len(slider.near) // (EXAMPLES // 2)))]
        chosen = list(dict.fromkeys([*nearest[: EXAMPLES // 2], *spread]))[:EXAMPLES]
        slider.near = {position: slider.near[position] for position in sorted(chosen)}
    ids = {doc_id for slider in sliders for _, doc_id in slider.near.values()}
    return {i: (row["id"], row["text"] or "") for i, row in read_documents(folder, "", ids, ids).items()}
