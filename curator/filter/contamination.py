"""Decontamination: documents that hold text of benchmarks are dropped, or what they hold is cut out."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import kernels
from curator.errors import SpecError
from curator.filter import benchmarks
from curator.filter.benchmarks import Item
from curator.filter.contamination_cuts import LISTED, CutContaminated
from curator.filter.contamination_summary import Tally, summary
from curator.kernels.spans import merged
from curator.rejections import RejectListed, listed, write_by_part, write_lists
from curator.run.corpus import Corpus, Sketches
from curator.schema import arrow_schema
from curator.stage import CorpusStage, Frame
from millrace import storage
from millrace.storage import File

if TYPE_CHECKING:
    from curator.kernels.ngram_sets import Ngrams

SUMMARY = "contamination"  # folder of the run, and name of the JSON file in it


class Indexed(NamedTuple):
    """Benchmarks as they are searched for."""

    items: tuple[Item, ...]
    names: tuple[str, ...]  # of the benchmarks
    benchmark: np.ndarray  # int64 (items): which of `names`
    ngrams: Ngrams


@dataclass(frozen=True)
class Decontaminate(CorpusStage):
    """Drop documents that hold n-grams of benchmark items, or cut these out.

    Words are lower-cased runs of `\\w`, so that case, punctuation and white space do not hide an item. An item's
    texts (its question, choices, answer: `curator.filter.benchmarks.SHAPES`, or `fields`) are read as one. An item
    of at least `ngram` words is found by any of its n-grams of that many words, one of fewer, but at least
    `min_ngram`, as a whole; and so is a question of so few words by itself, for choices are set in many ways.
    Shorter items are not looked for; contamination/contamination.json counts them.

    N-grams that more than `max_documents` documents hold are taken for common phrases, and are no evidence. That
    counts copies: run deduplication before this, or an item that was copied often enough goes unseen.

    `action="drop"`: the ledger names the item that the document holds most n-grams of (file and line), the first of
    them, and as value how many n-grams of benchmarks are in the document. `action="cut"`: each match goes with
    `window` characters on each side and on to the nearest end of a sentence or line, and so does what is left
    between two cuts where it is shorter than `min_piece`; documents cut into more than `max_pieces` are dropped.
    The rest stays one document. Cuts are kept under `signals/` with item and n-gram.

    Writes contamination/contamination.json: for each benchmark its items, those found, and the worst of them.

    The method is that of Brown et al. 2020 (GPT-3), appendix C, and its numbers are theirs; they choose n between 8
    and 13 for each benchmark by its 5th percentile of words. It finds copies, not paraphrases: of an item in which
    one word in k was replaced, only stretches of 13 words without a replacement. In languages written without
    spaces a word is a clause, and only whole ones are found.

    Cost: 300 to 400 MB/s a core to search; 12 bytes of sketch for each match. Memory of a worker: the items' text
    three times, 60 bytes an n-gram (145,000 take 0.25 s to build, once a process); of the fit, a group of parts'
    matches.
    """

    benchmarks: Any  # a path or glob, a list of them, or {benchmark: globs}; JSON Lines, JSON, CSV, TSV, Parquet
    fields: tuple[str, ...] = ()  # of a record, that hold an item's texts, the question first; empty: by SHAPES
    ngram: int = 13  # words
    min_ngram: int = 8  # words of the shortest item that is looked for
    max_documents: int | None = 10  # that may hold an n-gram which still is evidence; None: any number
    action: Literal["drop", "cut"] = "drop"
    window: int = 200  # characters cut on each side of a match
    min_piece: int = 200  # characters
    max_pieces: int | None = 10  # None: any number

    reads: ClassVar = {"doc_id": "uint64", "text": "string"}
    sketches: ClassVar = {"ngrams": "list<uint32>", "starts": "list<uint32>", "stops": "list<uint32>"}
    sketch_fields: ClassVar = ("benchmarks", "fields", "ngram", "min_ngram")
    publishes: ClassVar = (SUMMARY,)

    def __post_init__(self) -> None:
        least = {"min_ngram": 1, "ngram": self.min_ngram, "max_documents": 1, "window": 0, "min_piece": 0}
        for name, limit in {**least, "max_pieces": 1}.items():
            given = getattr(self, name)
            if given is not None and given < limit:
                of = " (min_ngram)" if name == "ngram" else ""
                raise SpecError(f"Decontaminate.{name} is {given}; it must be at least {limit}{of}")

    @property
    def writes(self) -> dict[str, str]:  # type: ignore[override]
        return {"text": "string"} if self.action == "cut" else {}

    def stored(self) -> dict[str, str]:
        return self.cutting("").stored() if self.action == "cut" else {}

    def cutting(self, folder: str) -> CutContaminated:
        """Return the stage that cuts what the lists in `folder` name."""
        return CutContaminated(folder, self.window, self.min_piece, self.max_pieces)

    def named_files(self) -> dict[str, tuple[str, ...]]:
        return {"benchmarks": tuple(file.url for _, file in benchmarks.listing(self.benchmarks))}

    def file_names(self) -> list[Any]:
        """Return the names of benchmarks and their files, which the evidence says."""
        return [[name, file.url.rpartition("/")[2]] for name, file in benchmarks.listing(self.benchmarks)]

    def check(self, output: str) -> None:
        self.index()

    def index(self) -> Indexed:
        """Return what is searched for, read once a process and state of the files.

        Raises SpecError, InputError or StorageError for benchmarks that cannot be read.
        """
        return _index(benchmarks.listing(self.benchmarks), self.fields, self.ngram, self.min_ngram)

    def sketch(self, frame: Frame) -> Frame:
        return kernels.ngram_places(frame["text"], self.index().ngrams)

    def fit(self, corpus: Corpus, folder: str) -> CutContaminated | RejectListed:
        index, groups = self.index(), corpus.groups()
        counts = corpus.map("counting n-grams", _count, [(corpus.alive, parts) for parts in groups])
        documents = np.zeros(len(index.ngrams.keys), np.int64)
        for found, times in counts:
            documents[found] += times
        common = np.flatnonzero(documents > (documents.max(initial=0) if (n := self.max_documents) is None else n))
        tasks = [_Group(self, corpus.alive, parts, common, folder) for parts in groups]
        tallies = corpus.map("listing contamination", _list, tasks)
        said = summary(index.items, index.benchmark, index.names, index.ngrams, documents, common, tallies)
        settings = {"ngram": self.ngram, "min_ngram": self.min_ngram, "max_documents": self.max_documents}
        storage.write_json(corpus.folder.path(SUMMARY, f"{SUMMARY}.json"), {**settings, "benchmarks": said})
        return self.cutting(folder) if self.action == "cut" else RejectListed(folder, "contaminated", similar=False)


@functools.lru_cache(maxsize=2)
def _index(listing: tuple[tuple[str, File], ...], fields: tuple[str, ...], length: int, width: int) -> Indexed:
    from curator.kernels.arrow import flatten
    from curator.kernels.ngram_sets import collect

    items = tuple(item for name, file in listing for item in benchmarks.read_items(name, file.url, fields))
    if not items:
        raise SpecError(f"benchmarks: there is no item in {', '.join(file.url for _, file in listing[:3])}")
    names = tuple(dict.fromkeys(name for name, _ in listing))
    numbers = {name: number for number, name in enumerate(names)}
    texts = pa.array(["\n".join(item.texts) for item in items], pa.large_string())
    heads = np.array([len(item.texts[0].encode()) if item.texts else 0 for item in items], np.int64)
    benchmark = np.array([numbers[item.benchmark] for item in items], np.int64)
    return Indexed(items, names, benchmark, collect(*flatten(texts), heads, length, width))


class _Hits(NamedTuple):
    """Matches in some documents, by document and place."""

    ids: np.ndarray  # uint64 (documents): doc_id
    rows: np.ndarray  # int64 (matches): the document of each
    ngrams: np.ndarray  # int64 (matches)
    table: pa.Table  # starts and stops, uint32 (matches)


def _read(alive: Sketches, parts: tuple[int, ...], *columns: str) -> _Hits:
    sketched = alive.read_all(parts, "ngrams", *columns).combine_chunks()
    counts = pc.list_value_length(sketched["ngrams"]).to_numpy()
    table = pa.table({name: pc.list_flatten(sketched[name]) for name in ("ngrams", *columns)}).combine_chunks()
    rows = np.repeat(np.arange(len(sketched)), counts)
    return _Hits(sketched["doc_id"].to_numpy(), rows, table["ngrams"].to_numpy().astype(np.int64), table)


def _count(task: tuple[Sketches, tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the n-grams found in some parts, and in how many documents each."""
    hits = _read(*task)
    pairs = np.unique(hits.ngrams << 32 | hits.rows)
    found, times = np.unique(pairs >> 32, return_counts=True)
    return found, times


@dataclass(frozen=True)
class _Group:
    stage: Decontaminate
    alive: Sketches
    parts: tuple[int, ...]
    common: np.ndarray  # int64, ascending: n-grams that are no evidence
    folder: str


def _list(task: _Group) -> Tally:
    """Write what goes of some parts; return what was found in them."""
    hits = _read(task.alive, task.parts, "starts", "stops")
    here = ~np.isin(hits.ngrams, task.common)
    hits = _Hits(hits.ids, hits.rows[here], hits.ngrams[here], hits.table.filter(pa.array(here)))
    index = task.stage.index()
    tally, best = Tally.of(hits.ids, hits.rows, hits.ngrams, index.ngrams, index.benchmark)
    if task.stage.action == "cut":
        write_by_part(task.folder, _spans(hits, index))
    else:
        write_lists(task.folder, _rejected(hits, best, index))
    return tally


def _rejected(hits: _Hits, best: np.ndarray, index: Indexed) -> pa.Table:
    """Return the list of documents to reject; best: the item that each document holds most of, -1 for none."""
    distinct = np.unique(hits.rows << 32 | hits.ngrams)
    counts = np.bincount(distinct >> 32, minlength=len(hits.ids))
    which, items = index.ngrams.occurrences(hits.ngrams)
    its = items == best[hits.rows[which]]
    documents, at = np.unique(hits.rows[which[its]], return_index=True)
    first = hits.ngrams[which[its][at]]
    said = [f"{index.items[i].place}: {index.ngrams.text(g)}" for i, g in zip(best[documents], first)]
    return listed(hits.ids[documents], None, counts[documents], texts=pa.array(said, pa.large_string()))


def _spans(hits: _Hits, index: Indexed) -> pa.Table:
    """Return the stretches of documents that match, with the first item and n-gram of each."""
    starts, stops = (hits.table[name].to_numpy().astype(np.int64) for name in ("starts", "stops"))
    rows, ends = merged(hits.rows, starts, stops, touching=True)
    ngrams = hits.ngrams[rows]
    items = index.ngrams.items[index.ngrams.first[ngrams]]
    said = [[index.items[i].place for i in items], [index.ngrams.text(g) for g in ngrams]]
    columns = [hits.ids[hits.rows[rows]], starts[rows], ends, *(pa.array(texts, pa.large_string()) for texts in said)]
    return pa.table(columns, schema=arrow_schema(LISTED))


def matches(stage: Decontaminate, text: str) -> Iterator[tuple[str, str]]:
    """Yield (item's file and line, n-gram) of what one text holds, common n-grams among them."""
    from curator.kernels.arrow import flatten
    from curator.kernels.ngram_sets import find

    index = stage.index()
    for ngram in find(*flatten(pa.array([text], pa.large_string())), index.ngrams)[1]:
        for item in index.ngrams.occurrences(np.array([ngram]))[1]:
            yield index.items[item].place, index.ngrams.text(ngram)
