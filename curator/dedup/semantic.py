"""Semantic duplicates: documents whose embeddings point the same way."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames, kernels
from curator.dedup import cosine, embed, kmeans
from curator.dedup.removals import Removals
from curator.errors import InputError, SpecError, check_seed
from curator.kernels import vectors
from curator.rejections import RejectListed, listed
from curator.run.corpus import Corpus, Sketches
from curator.run.exchange import Exchange
from curator.schema import arrow_schema
from curator.stage import CorpusStage, Frame
from millrace import storage, tables

MIN_EPS = 1e-5  # below it the rounding of embeddings decides
MAX_SAMPLE = 500_000  # documents that centroids are fitted on, in one process
TASK_BYTES = 64 << 20  # of embeddings that one task deals or compares
LEAST = 10  # documents a cluster; in smaller ones there is hardly a pair to compare
DEALT = arrow_schema({"doc_id": "uint64", "cluster": "int64", "similarity": "float64", "vector": "list<float32>"})


@dataclass(frozen=True)
class SemanticDedup(CorpusStage):
    """Remove a document if and only if a kept one of its cluster has nearly the same embedding.

    SemDeDup (Abbas et al. 2023, section 3): embeddings are clustered by spherical k-means; within a cluster, in
    the order of `keep`, a document goes if its cosine similarity to one that stays is at least 1 - eps (the
    witness rule; the paper lets a document go for one that goes itself). A pair that k-means parts is not found.

    Embeddings are scaled to length 1 and rounded to multiples of 2^-24, so that similarities are exact and the
    outcome is the same for any number of workers, batch size and machine. Only a `model` is not so across
    processors: its embeddings differ by some 1e-6, and so may decisions that close to the limit.
    A document without an embedding (null, or all zeros; of a model: without text) stays and removes nothing; the
    run says how many. NaN, infinity and embeddings of several lengths are an InputError.

    Cost: 4 bytes a dimension and document of sketch, twice that on disk while it fits; 2 x n x d x clusters
    operations to assign, at most 2 x n x d x (documents kept a cluster) to compare. Memory: a task some four
    times 64 MB, or 8 bytes a dimension and document of the largest cluster where that is more; the main process
    8 bytes a dimension and sampled document (at most 500,000), and 128 a dimension and cluster.
    """

    embedding: str = ""  # the column that holds embeddings; else `model`
    model: str = ""  # a sentence encoder: folder or .onnx file, see curator.dedup.embed
    eps: float = 0.01  # NeMo Curator's default; the paper reports 0.001 to 0.1, by how much is to go
    clusters: int = 1000  # fewer where the corpus has not ten documents for each
    keep: Literal["hard", "easy", "first"] = "hard"  # the farthest from the centroid, the nearest, or by doc_id
    sample: int = 100  # documents a cluster that centroids are fitted on
    iterations: int = 25  # of k-means at most
    max_tokens: int = 256  # of a text that the model reads
    seed: int = 0

    sketches: ClassVar = {"vector": "list<float32>"}
    sketch_fields: ClassVar = ("embedding", "model", "max_tokens")

    def __post_init__(self) -> None:
        if bool(self.embedding) == bool(self.model):
            raise SpecError(
                "SemanticDedup takes either embedding (a column, list<float32>) or model (a folder or .onnx file); "
                f"{'both are' if self.model else 'neither is'} given"
            )
        if not MIN_EPS <= self.eps < 1:
            raise SpecError(f"SemanticDedup.eps is {self.eps}; it must be from {MIN_EPS} to below 1")
        for name in ("clusters", "sample", "iterations", "max_tokens"):
            if getattr(self, name) < 1:
                raise SpecError(f"SemanticDedup.{name} is {getattr(self, name)}; it must be at least 1")
        check_seed("SemanticDedup", self.seed)
        if self.model:
            embed.check_model(self.model)

    @property
    def reads(self) -> dict[str, str]:  # type: ignore[override]
        return {"doc_id": "uint64", "id": "string", **self._source()}

    def _source(self) -> dict[str, str]:
        return {self.embedding: "list<float32>"} if self.embedding else {"text": "string"}

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("onnxruntime", "tokenizers") if self.model else ()

    def named_files(self) -> dict[str, tuple[str, ...]]:
        return {"model": tuple(embed.model_files(self.model).values())} if self.model else {}

    def sketch(self, frame: Frame) -> Frame:
        (name,) = self._source()
        column = frame[name]
        if self.model:
            embedded = embed.embed(frames.column_to_arrow(column), self.model, self.max_tokens)
            column = frames.like(column, {"vector": embedded})["vector"]
        made = kernels.unit_vectors(column)
        broken = np.flatnonzero(frames.to_numpy(made["broken"]))
        if len(broken):
            named = frames.column_to_arrow(frame["id"])[int(broken[0])].as_py()
            raise InputError(f"SemanticDedup: the embedding of document {named} holds a null, NaN or infinity")
        return made[["vector"]]

    def fit(self, corpus: Corpus, folder: str) -> RejectListed:
        found = RejectListed(folder, "semantic_duplicate", 1 - self.eps)
        counts = _counts(corpus)
        total = sum(count.vectors for count in counts)
        if not total:
            return found
        centroids = storage.join(corpus.scratch, "centroids.arrow")
        self._cluster(corpus, counts, total, centroids)
        (length,) = counts[0].lengths
        each = max(1, TASK_BYTES // (4 * length))
        dealt = corpus.exchange("vectors", total, each)
        removals = Removals.of(corpus)
        deals = [_Deal(corpus.alive, parts, centroids, dealt) for parts in corpus.groups(each)]
        corpus.map("assigning clusters", _deal, deals)
        compares = [_Compare(dealt, r, self.keep, 1 - self.eps, removals) for r in range(dealt.ranges)]
        corpus.map("comparing embeddings", _compare, compares)
        removals.publish(corpus, folder)
        return found

    def _cluster(self, corpus: Corpus, counts: list[_Count], total: int, place: str) -> None:
        """Fit the centroids on one random document of each of `sample` x clusters equal stretches of the corpus."""
        clusters = min(self.clusters, max(1, total // LEAST))
        if clusters < self.clusters:
            corpus.say(f"SemanticDedup: {total:,} embeddings are put in {clusters:,} clusters, not {self.clusters:,}")
        size = min(total, self.sample * clusters, MAX_SAMPLE)
        ranks = _stretches(total, size, self.seed)
        sampled = Exchange(storage.join(corpus.scratch, "sample"), 1)
        firsts = np.cumsum([0, *(count.vectors for count in counts)])
        cuts = np.searchsorted(ranks, firsts)
        tasks = [
            _Sample(corpus.alive, count.part, ranks[cuts[i] : cuts[i + 1]] - firsts[i], sampled)
            for i, count in enumerate(counts)
            if cuts[i + 1] > cuts[i]
        ]
        corpus.map("sampling embeddings", _sample, tasks)
        rows = _matrix(sampled.read(0, arrow_schema(self.sketches))["vector"])
        made = kmeans.centroids(rows, clusters, self.iterations, self.seed)
        tables.write_table(place, _table(made))


@dataclass(frozen=True)
class _Count:
    """What the sketches of one part hold."""

    part: int
    vectors: int
    missing: int
    lengths: dict[int, int]  # dimensions -> the first document whose vector has so many


@dataclass(frozen=True)
class _Look:
    alive: Sketches
    part: int


def _counts(corpus: Corpus) -> list[_Count]:
    """Count each part's embeddings; return the counts of parts with any. Raises InputError where lengths differ."""
    counts = corpus.map("counting embeddings", _count, [_Look(corpus.alive, part) for part in corpus.parts])
    missing, total = sum(c.missing for c in counts), sum(c.missing + c.vectors for c in counts)
    if missing:
        corpus.say(
            f"SemanticDedup: {missing:,} of {total:,} documents have no embedding, or one of zeros; "
            "they stay and are compared with none"
        )
    lengths: dict[int, int] = {}
    for count in counts:
        lengths = count.lengths | lengths
    if len(lengths) > 1:
        raise InputError(f"SemanticDedup: embeddings of different lengths: {_named(corpus, lengths)}")
    return [count for count in counts if count.vectors]


def _named(corpus: Corpus, lengths: dict[int, int]) -> str:
    """Say which documents have embeddings of which length."""
    length_of = {number: length for length, number in lengths.items()}
    ids = np.array(sorted(length_of), np.uint64)
    said = [
        f"document {id} has {length_of[int(number)]} dimensions"
        for numbers, names in corpus.evidence(ids, ("id",), _ids)
        for number, id in zip(numbers, names, strict=True)
    ]
    return ", ".join(said)


def _ids(frame: Frame) -> list[str]:
    ids: list[str] = frames.column_to_arrow(frame["id"]).to_pylist()
    return ids


def _count(task: _Look) -> _Count:
    table = task.alive.read(task.part, "vector")
    held = pc.drop_null(pc.list_value_length(table["vector"])).to_numpy()
    ids = table["doc_id"].filter(pc.is_valid(table["vector"])).to_numpy()
    lengths, firsts = np.unique(held, return_index=True)
    return _Count(
        task.part, len(held), len(table) - len(held), dict(zip(lengths.tolist(), ids[firsts].tolist(), strict=True))
    )


@dataclass(frozen=True)
class _Sample:
    alive: Sketches
    part: int
    places: np.ndarray  # int64, ascending, among the part's vectors
    sampled: Exchange


def _sample(task: _Sample) -> None:
    table = task.alive.read(task.part, "vector").select(["vector"])
    chosen = np.flatnonzero(pc.is_valid(table["vector"]).to_numpy())[task.places]
    task.sampled.write(f"{task.part:010d}", table.take(pa.array(chosen)), np.zeros(len(chosen), np.int64))


@dataclass(frozen=True)
class _Deal:
    alive: Sketches
    parts: tuple[int, ...]
    centroids: str
    dealt: Exchange


def _deal(task: _Deal) -> None:
    """Assign each document of some parts to a cluster, and each cluster to a range."""
    made = _matrix(tables.read_table(task.centroids)["vector"])
    table = task.alive.read_all(task.parts, "vector")
    table = table.filter(pc.is_valid(table["vector"]))
    if not len(table):
        return
    labels, similarity = kmeans.nearest(_matrix(table["vector"]), made)
    columns = {"doc_id": table["doc_id"], "cluster": labels, "similarity": similarity, "vector": table["vector"]}
    task.dealt.write(f"{task.parts[0]:010d}", pa.table(columns, DEALT), labels * task.dealt.ranges // len(made))


@dataclass(frozen=True)
class _Compare:
    dealt: Exchange
    range: int
    keep: str
    threshold: float
    removals: Removals


def _compare(task: _Compare) -> None:
    """Decide cluster by cluster."""
    table = task.dealt.read(task.range, DEALT)
    if not len(table):
        return
    ids, cluster, closeness = (table[name].to_numpy() for name in ("doc_id", "cluster", "similarity"))
    worth = {"hard": closeness, "easy": -closeness, "first": np.zeros(len(ids))}[task.keep]
    order = np.lexsort((ids, worth, cluster))
    rows, ids = _matrix(table["vector"]), ids[order]
    witness, similarity = np.full(len(ids), vectors.NONE), np.empty(len(ids), np.float32)
    bounds = np.append(np.unique(cluster[order], return_index=True)[1], len(ids))
    for start, stop in itertools.pairwise(bounds):
        own, similarity[start:stop] = cosine.witness_rule(rows[order[start:stop]], task.threshold)
        witness[start:stop] = np.where(own == vectors.NONE, own, own + start)
    gone = np.flatnonzero(witness != vectors.NONE)
    task.removals.add(f"{task.range:010d}", listed(ids[gone], ids[witness[gone]], similarity[gone]))


def _stretches(total: int, size: int, seed: int) -> np.ndarray:
    """Cut `total` places into `size` equal stretches and draw one place of each: int64, ascending."""
    bounds = [place * total // size for place in range(size + 1)]
    lengths = np.diff(bounds)
    offsets = vectors.draws(seed, size) % lengths.astype(np.uint64)
    return np.array(bounds[:-1], np.int64) + offsets.astype(np.int64)


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    """Return lists of one length, none of them null, as a float32 matrix (rows, length)."""
    flat = pc.list_flatten(column).to_numpy()
    made: np.ndarray = flat.reshape(len(column), -1)
    return made


def _table(rows: np.ndarray) -> pa.Table:
    """Return a float32 matrix as a column of lists."""
    starts = np.arange(len(rows) + 1, dtype=np.int64) * rows.shape[1]
    return pa.table({"vector": pa.LargeListArray.from_arrays(starts, rows.ravel())})
