"""The arms: pools of documents, decontaminated alike, and what a seed draws of each as token shards."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from benchmarks.curation_quality import holdout, sources
from curator import (
    Decontaminate,
    ExactDedup,
    ExtractHtml,
    FixUnicode,
    FuzzyDedup,
    GopherQuality,
    GopherRepetition,
    IdentifyLanguage,
    Pack,
    Pipeline,
    ReadParquet,
    ReadWarc,
    Tokenize,
)

TOKENIZER_BYTES = 10_000_000  # of raw and of curated
SPARE = 1.15  # documents are drawn by bytes; a sample must have at least the tokens wanted


@dataclass(frozen=True)
class Pool:
    """The documents an arm may draw from."""

    files: tuple[str, ...]
    documents: int
    bytes: int


@dataclass(frozen=True)
class Workshop:
    """Where the arms are made: each file or folder once, whatever is asked twice."""

    bench: Path
    data: Path
    once: Callable[[str, Callable[[Path], object]], Path]  # name, how it is made

    def held(self) -> list[holdout.Held]:
        return holdout.drawn(self.bench, self.data)

    def held_file(self) -> Path:
        def make(path: Path) -> None:
            path.write_text("".join(json.dumps({"text": one.text}) + "\n" for one in self.held()))

        return self.once("held.jsonl", make)

    @cached_property
    def pools(self) -> dict[str, Pool]:
        """Return the pool of every arm. The control's is cut out of raw, by hash, to curated's bytes."""
        raw, planted, curated = self._clean("raw"), self._clean("planted"), self._curated()
        made = {"raw": _pool(raw), "curated": _pool(curated), "polluted": _pool([*raw, *planted])}
        control = self.once("control.parquet", lambda path: _sample(raw, path, made["curated"].bytes, "control"))
        return made | {"control": _pool([control])}

    def _clean(self, name: str) -> list[Path]:
        """Return raw or planted documents without those that share text with the held-out set."""
        stages = [ReadParquet(str(self._source(name)), part_mb=16), self._decontaminate()]
        return _documents(self.once(f"clean-{name}", lambda path: Pipeline(stages).run(str(path))))

    def _curated(self) -> list[Path]:
        """Return what the web recipe's stages leave of the crawl and the texts."""
        crawl = [ReadWarc(str(self.bench / "docs.warc.gz")), ExtractHtml()]
        pages = _documents(self.once("pages", lambda path: Pipeline(crawl).run(str(path))))
        stages = [
            ReadParquet([str(self._source("texts")), *map(str, pages)], part_mb=16),
            FixUnicode(), IdentifyLanguage(keep=("en",), min_score=0.65), GopherQuality(), GopherRepetition(),
            self._decontaminate(), ExactDedup(), FuzzyDedup(),
        ]  # fmt: skip
        return _documents(self.once("curated", lambda path: Pipeline(stages).run(str(path))))

    def _decontaminate(self) -> Decontaminate:
        return Decontaminate({"held-out": str(self.held_file())}, fields=("text",))

    def _source(self, name: str) -> Path:
        corpus, truth, crawl = (self.bench / n for n in ("corpus.parquet", "truth.parquet", "docs.warc.gz"))

        def make(path: Path) -> None:
            texts = sources.texts(corpus, truth, planted=name == "planted")
            sources.write(
                path, (d for part in ((sources.visible(crawl), texts) if name == "raw" else (texts,)) for d in part)
            )

        return self.once(f"{name}.parquet", make)

    def tokenizer(self, vocabulary: int) -> Path:
        """Return a tokenizer.json learnt from equal shares of raw and curated, for all arms."""
        shares = [
            self.once(f"share-{name}.parquet", lambda path, name=name: _sample(  # type: ignore[misc]
                [Path(f) for f in self.pools[name].files], path, TOKENIZER_BYTES, "tokenizer"))
            for name in ("raw", "curated")
        ]  # fmt: skip
        stages = [ReadParquet(list(map(str, shares))), Tokenize(vocab_size=vocabulary), Pack(seq_length=512)]
        run = self.once(f"tokenizer-{vocabulary}", lambda path: Pipeline(stages).run(str(path)))
        return run / "tokens" / "tokenizer.json"

    def shards(self, arm: str, seed: int, tokens: int, vocabulary: int, length: int) -> Path:
        """Return the run folder with the shards a seed draws: at least `tokens`, or all the pool has."""
        tokenizer = self.tokenizer(vocabulary)
        per_token = self._bytes_per_token(vocabulary)
        pool = [Path(name) for name in self.pools[arm].files]
        name = f"{arm}-{seed}-{tokens}"
        drawn = self.once(
            f"{name}.parquet", lambda path: _sample(pool, path, int(tokens * per_token * SPARE), str(seed))
        )
        stages = [ReadParquet(str(drawn)), Tokenize(str(tokenizer)), Pack(seq_length=length, seed=seed)]
        return self.once(f"{name}-shards", lambda path: Pipeline(stages).run(str(path)))

    def _bytes_per_token(self, vocabulary: int) -> float:
        """Return the mean over the tokenizer's own text."""
        run = self.tokenizer(vocabulary).parent
        tokens = json.loads((run / "manifest.json").read_text())["tokens"]
        return 2 * TOKENIZER_BYTES / float(tokens)


def _documents(run: Path) -> list[Path]:
    return sorted((run / "documents").glob("*.parquet"))


def _pool(files: Sequence[Path]) -> Pool:
    sizes = [pa.compute.binary_length(pq.read_table(f, columns=["text"])["text"]) for f in files]
    return Pool(tuple(map(str, files)), sum(map(len, sizes)), sum(pa.compute.sum(s).as_py() or 0 for s in sizes))


def _sample(files: Sequence[Path], path: Path, wanted: int, seed: str) -> None:
    """Write documents in the order of their hash with `seed`, until they have `wanted` bytes or there are no more."""
    table = pa.concat_tables(pq.read_table(f, columns=["id", "text"]) for f in files)
    order = sorted(range(len(table)), key=lambda row: _hash(f"{seed}:{table['id'][row]}"))
    sizes = pa.compute.binary_length(table["text"]).to_pylist()
    taken, size = [], 0
    for row in order:
        if size >= wanted:
            break
        taken.append(row)
        size += sizes[row]
    pq.write_table(table.take(taken).cast(sources.SCHEMA), path)


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())
