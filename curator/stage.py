"""What a stage is.

Four kinds, told apart by how much each must see:

    Reader       one part of an input file   makes documents
    Mapper       one batch                   adds or rewrites columns
    Filter       one batch                   measures documents, then rejects by rule; an Edit (curator.edit)
                                             is one that also cuts spans out of `text`
    CorpusStage  the whole corpus            sketches each batch, fits once on all sketches,
                                             and returns the Filter or Mapper that applies it

A stage is a frozen dataclass. Its fields are its whole configuration, so every stage can be
printed, compared, pickled, fingerprinted, documented and written as YAML with no code of its own.
A stage opens no output files, counts nothing, logs nothing and swallows no errors: the runner does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import pyarrow as pa

    from curator.pipeline import Pipeline
    from curator.run.corpus import Corpus

Frame = Any  # pandas.DataFrame or cudf.DataFrame: stages use only what both offer
Column = Any  # pandas.Series or cudf.Series
Schema = Mapping[str, str]  # column name -> type name of curator.schema

# The signal that every run keeps by itself: code points of `text` as the first filter that found one met it.
CHARACTERS = "document_characters"


class Stage:
    """What the four kinds share."""

    reads: ClassVar[Schema] = {}
    writes: ClassVar[Schema] = {}
    drops: ClassVar[tuple[str, ...]] = ()  # columns nobody needs once this stage has read them
    version: ClassVar[int] = 1  # raise it when the same settings would give other output
    libraries: ClassVar[tuple[str, ...]] = ()  # distributions whose version shapes the output
    files: ClassVar[tuple[str, ...]] = ()  # fields that name files; these are fingerprinted by content

    def named_files(self) -> dict[str, tuple[str, ...]]:
        """Return the files, by field, whose content shapes the output."""
        return {name: (getattr(self, name),) for name in self.files if getattr(self, name)}

    def file_names(self) -> list[Any]:
        """Return what of the names of its files, beside their content, shapes the output. Default: nothing."""
        return []

    def check(self, output: str) -> None:
        """Raise a CuratorError for what is known to be wrong before anything is read into the run folder
        `output`. Default: nothing is."""

    def __or__(self, other: Stage | Pipeline) -> Pipeline:
        from curator.pipeline import Pipeline

        return Pipeline([self]) | other


@dataclass(frozen=True)
class Part:
    """One split of one input file, and its number in the run's register."""

    number: int
    url: str
    source: str
    split: tuple[int, int] | None = None  # row groups or bytes [start, stop); None: the whole file


@dataclass(frozen=True)
class Unread:
    """A document that is there but cannot be read; it goes to the ledger."""

    row: int
    id: str
    url: str
    reason: str  # an identifier such as broken_json
    detail: str = ""


@dataclass
class Batch:
    """Documents in the order of the file. Rows count from 0 in each part, `unread` ones included."""

    table: pa.Table  # the reader's `writes` columns, doc_id among them
    unread: list[Unread] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # records that are no documents, by kind


class Reader(Stage):
    """Reads documents. `path` is a glob, a list of globs, or {source: glob}; any fsspec URL."""

    path: Any
    part_mb: int  # size of a part, where a file can be split
    source: str | None  # name of all its documents' source, unless `path` names several

    def splits(self, url: str, size: int) -> list[tuple[int, int] | None]:
        """Cut a file into parts, by the file and `part_mb` alone. Default: one part."""
        return [None]

    def read(self, part: Part, batch_bytes: int) -> Iterator[Batch]:
        """Yield the part's documents in batches of about `batch_bytes` bytes of text.

        Raises BadFile when the file cannot be read to its end.
        """
        raise NotImplementedError


class Mapper(Stage):
    """Adds or rewrites columns."""

    def map(self, frame: Frame) -> Frame:
        """Return the frame with the columns in `writes` set. Rows keep their number and order."""
        raise NotImplementedError


@dataclass(frozen=True)
class Rule:
    """Reject a document whose `signal` is below (or above) the field `limit` of its filter."""

    reason: str
    signal: str
    limit: str  # the filter's field that holds the threshold
    below: bool  # True: reject signal < limit; False: reject signal > limit


def at_least(reason: str, signal: str, limit: str) -> Rule:
    """Reject below the limit."""
    return Rule(reason, signal, limit, below=True)


def at_most(reason: str, signal: str, limit: str) -> Rule:
    """Reject above the limit."""
    return Rule(reason, signal, limit, below=False)


@dataclass(frozen=True)
class Pass:
    """A kernel that measures signals of text by their names. Filters side by side whose passes are equal are
    measured in one call."""

    kernel: str  # a contract of curator.kernels that takes a column and names
    arguments: tuple[Any, ...] = ()  # what it takes beside

    def measure(self, text: Column, names: tuple[str, ...]) -> Frame:
        """Return the signals called `names`, one row a text."""
        from curator import kernels

        measured: Frame = getattr(kernels, self.kernel)(text, names, *self.arguments)
        return measured


class Filter(Stage):
    """Measures documents, then decides on the measurements alone.

    Signals named in `writes` become columns of the document; the others are stored under
    `signals/`, so that a limit can be changed without reading text again.
    """

    signals: ClassVar[Schema] = {}  # what measure returns beside `writes`
    rules: ClassVar[tuple[Rule, ...]] = ()
    decides: ClassVar[tuple[str, ...]] = ()  # fields that `reject` alone looks at, beside the limits of `rules`
    shared_pass: ClassVar[Pass | None] = None  # or a property: how the signals are measured follows from fields

    def stored(self) -> dict[str, str]:
        """Return what is kept under `signals/`: the signals, and columns that a rule decides on.

        A filter whose `reject` looks at further columns it writes names them here too.
        """
        ruled = {rule.signal: self.writes[rule.signal] for rule in self.rules if rule.signal in self.writes}
        return {**self.signals, **ruled}

    def measure(self, frame: Frame) -> Frame:
        """Return one row of `signals` and `writes` for each document, with the frame's index."""
        assert self.shared_pass is not None, f"{type(self).__name__} defines neither measure nor shared_pass"
        return self.shared_pass.measure(frame["text"], tuple(self.signals))

    def reject(self, signals: Frame) -> dict[str, Column]:
        """Return, for each reason in order, the mask of documents to reject. The first one holds.

        A null signal (not measured) rejects nothing, nor does a rule whose limit is None. Subclasses may add
        reasons; what they return for a rule stays the comparison that the rule says.
        """
        limits = {rule: getattr(self, rule.limit) for rule in self.rules}
        return {
            rule.reason: signals[rule.signal] < limit if rule.below else signals[rule.signal] > limit
            for rule, limit in limits.items()
            if limit is not None
        }

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        """Return the ledger's columns (value, value_text, threshold, witness, similarity) for
        documents rejected for `reason`: scalars, or columns of `signals`. Default: from the rule."""
        for rule in self.rules:
            if rule.reason == reason:
                return {"value": signals[rule.signal], "threshold": float(getattr(self, rule.limit))}
        return {}


class CorpusStage(Stage):
    """Looks at the whole corpus through sketches, and returns the stage that applies what it learnt."""

    sketches: ClassVar[Schema] = {}  # columns of a sketch, beside doc_id
    sketch_fields: ClassVar[tuple[str, ...]] = ()  # the fields that shape a sketch; others only the fit
    applied: ClassVar[bool] = True  # False: fit returns None, its result lies in the run's `output`
    output: ClassVar[str] = ""  # folder of the run that fit writes for the user; "": a folder of work/
    ranked_by: ClassVar[str] = ""  # the number column, or signal measured before it, that fit ranks documents by

    @property
    def publishes(self) -> tuple[str, ...]:
        """Return further folders of the run that fit writes for the user."""
        return ()

    def stored(self) -> dict[str, str]:
        """Return the signals that the stage fit returns keeps under `signals/`, where that is a filter which
        measures documents; whom it rejects is known only once it is applied."""
        return {}

    def sketch(self, frame: Frame) -> Frame:
        """Return one row of `sketches` for each document: small, for text is not kept in memory."""
        raise NotImplementedError

    def fit(self, corpus: Corpus, folder: str) -> Mapper | Filter | None:
        """Learn from the sketches of the documents still alive; write what was learnt under
        `folder`; return the stage that applies it to one batch, or None where nothing is left to do."""
        raise NotImplementedError
