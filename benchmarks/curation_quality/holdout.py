"""The held-out set, drawn before any arm is made, and the cloze items made of it."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import xxhash

DOCUMENTS = 300  # of the bench corpus
BROWN = 100
MAX_BYTES = 6000  # read of each, up to a line or sentence: long documents would be most of the measure
ITEMS = 2000
CHOICES = 4
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")


@dataclass(frozen=True)
class Held:
    """A held-out document."""

    part: str  # documents, articles or brown
    id: str
    text: str


def drawn(bench: Path, data: Path) -> list[Held]:
    """Return the held-out documents: equal input gives equal documents."""
    return [*_documents(bench), *_articles(data / "html_gold" / "ground-truth.json"), *_brown(data / "text_en")]


def _documents(bench: Path) -> Iterator[Held]:
    """Draw texts by the hash of their id, none of them a planted copy, its source, or one of a natural pair."""
    truth = pq.read_table(bench / "truth.parquet")
    pairs = pq.read_table(bench / "natural_pairs.parquet")
    left = [truth[c].to_pylist() for c in ("copy_id", "source_id")] + [pairs[c].to_pylist() for c in ("id_a", "id_b")]
    near = {number for column in left for number in column}
    table = pq.read_table(bench / "corpus.parquet")
    alone = [(_hash(str(i)), row, i) for row, i in enumerate(table["id"].to_pylist()) if i not in near]
    for _, row, number in sorted(alone)[:DOCUMENTS]:
        yield Held("documents", str(number), _cut(table["text"][row].as_py()))


def _articles(path: Path) -> Iterator[Held]:
    for name, page in sorted(json.loads(path.read_text()).items()):
        if page["articleBody"].strip():
            yield Held("articles", name, _cut(page["articleBody"]))


def _brown(folder: Path) -> Iterator[Held]:
    with gzip.open(folder / "brown.jsonl.gz", "rt") as lines:
        records = [json.loads(line) for line in lines]
    for record in sorted(records, key=lambda one: _hash(one["id"]))[:BROWN]:
        yield Held("brown", record["id"], _cut(_untokenised(record["text"])))


def _untokenised(text: str) -> str:
    """Join what the Brown corpus sets apart: `` said '' and "city ," become "said" and city,"""
    text = text.replace("`` ", '"').replace(" ''", '"')
    return re.sub(r" ([.,;:!?)])", r"\1", text).replace("( ", "(")


def _cut(text: str) -> str:
    """Return a text up to the last line or sentence that ends within MAX_BYTES."""
    short = text.encode()[:MAX_BYTES].decode("utf-8", "ignore")
    if len(short) == len(text):
        return text
    end = max(short.rfind("\n"), short.rfind(". ") + 1)
    return short[:end] if end > 0 else short


def cloze(held: list[Held], seed: int = 0) -> Iterator[dict[str, object]]:
    """Yield items: which of four sentences follows? The other three come from other documents of the same part.

    All four have 40 to 200 characters; the context is up to 300 characters, from a sentence's beginning.
    """
    draw = random.Random(seed)
    sentences = {one.id: [s.strip() for s in SENTENCE.split(one.text.replace("\n", " "))] for one in held}
    places = [
        (one, i) for one in held for i in range(2, len(sentences[one.id])) if 40 <= len(sentences[one.id][i]) <= 200
    ]
    draw.shuffle(places)
    pool: dict[str, list[tuple[str, str]]] = {}
    for one, i in places:
        pool.setdefault(one.part, []).append((one.id, sentences[one.id][i]))
    for one, i in places[:ITEMS]:
        before = " ".join(sentences[one.id][:i])[-300:].partition(" ")[2]
        others: list[str] = []
        while len(others) < CHOICES - 1:
            owner, sentence = draw.choice(pool[one.part])
            if owner != one.id and sentence not in others:
                others.append(sentence)
        label = draw.randrange(CHOICES)
        others.insert(label, sentences[one.id][i])
        yield {"context": before, "choices": others, "label": label, "part": one.part}


def _hash(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())
