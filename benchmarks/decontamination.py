"""Decontamination: what is found of planted benchmark items, by edit; what is found where none was; and speed."""

from __future__ import annotations

import json
import random
import re
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks import inputs
from benchmarks.measure import ROOT, run
from benchmarks.planted import EDITS, planted
from benchmarks.report import Setting, ratio, setting, spread, table, write_result
from curator import Decontaminate
from curator.filter.contamination import Indexed
from curator.kernels.arrow import flatten
from curator.kernels.ngram_sets import find

ITEMS = 25  # planted of each benchmark, each with every edit
HOST_CHARACTERS = 1500  # of the document around it
SPEED_MB = 30
PYTHON_MB = 1  # of what plain Python searches
SHOWN = 20  # items found in documents where nothing was planted


class Python:
    """The rule in plain Python: the oracle of the decisions, and the measure of the speed."""

    def __init__(self, items: list[tuple[str, ...]], length: int, width: int):
        self.ngrams: dict[int, set[str]] = defaultdict(set)
        for texts in items:
            words, head = self.words("\n".join(texts)), self.words(texts[0])
            size = min(len(words), length)
            if size >= width:
                self.ngrams[size].update(" ".join(words[i : i + size]) for i in range(len(words) - size + 1))
            if width <= len(head) < length:
                self.ngrams[len(head)].add(" ".join(head))

    @staticmethod
    def words(text: str) -> list[str]:
        return re.findall(r"\w+", text.lower())

    def finds(self, text: str) -> bool:
        words = self.words(text)
        return any(
            " ".join(words[i : i + size]) in ngrams
            for size, ngrams in self.ngrams.items()
            for i in range(len(words) - size + 1)
        )


def main() -> None:
    """Plant, search, compare, and write the result."""
    with setting(
        __doc__ or "", data={"type": Path, "default": ROOT.parent / "shared" / "data" / "benchmarks"}
    ) as given:
        places = {
            "MMLU": str(given.given.data / "mmlu" / "*.csv"),
            "GSM8K": str(given.given.data / "gsm8k*.jsonl"),
            "HumanEval": str(given.given.data / "HumanEval*"),
            "HellaSwag": str(given.given.data / "hellaswag*.jsonl"),
        }
        Decontaminate(places, ngram=14).index()  # compiles
        began = time.process_time()
        index = Decontaminate(places).index()
        built = time.process_time() - began
        texts = inputs.corpus(given.input("corpus.parquet"))["text"].to_pylist()
        random.Random(0).shuffle(texts)
        python = Python([item.texts for item in index.items if item.texts], 13, 8)
        body = [f"Items: {', '.join(counted(index))}; {len(index.ngrams.keys):,} n-grams, read and indexed in "
                f"{built:.2f} CPU s.\n",
                *recall(given, index, python, texts), *precision(index, texts),
                *speed(given, index, python, texts)]  # fmt: skip
        write_result("decontamination", "Decontamination", given, ["numba", "numpy", "pyarrow"], "\n".join(body))


def counted(index: Indexed) -> list[str]:
    found = index.benchmark.tolist()
    return [f"{found.count(number):,} of {name}" for number, name in enumerate(index.names)]


def ours(index: Indexed, texts: list[str]) -> list[set[int]]:
    """Return the items whose n-grams each text holds."""
    documents, ngrams, _, _ = find(*flatten(pa.array(texts, pa.large_string())), index.ngrams)
    rows, items = index.ngrams.occurrences(ngrams)
    found: list[set[int]] = [set() for _ in texts]
    for document, item in zip(documents[rows].tolist(), items.tolist()):
        found[document].add(item)
    return found


def recall(given: Setting, index: Indexed, python: Python, texts: list[str]) -> list[str]:
    """Plant items of every benchmark with every edit; return what each side found of them."""
    rng = random.Random(1)
    cut = (text[:HOST_CHARACTERS] for text in texts if len(text) > HOST_CHARACTERS)
    hosts = (text for text in cut if not python.finds(text))
    made: list[tuple[str, str, int, str]] = []  # benchmark, edit, item, document
    for number, name in enumerate(index.names):
        long = [i for i, item in enumerate(index.items)
                if index.benchmark[i] == number and len(python.words("\n".join(item.texts))) >= 13]  # fmt: skip
        for item in rng.sample(long, 5 if given.quick else ITEMS):
            host = next(hosts)
            documents = ((edit, planted(index.items[item].texts, host, edit, f"{name} {item}")) for edit in EDITS)
            made += [(name, edit, item, document) for edit, document in documents if document is not None]
    documents = [document for _, _, _, document in made]
    found = ours(index, documents)
    named = sum(item in own for (_, _, item, _), own in zip(made, found) if own)
    wrong = sum(bool(own) != python.finds(document) for own, document in zip(found, documents))
    peer = datatrove(given, index, sorted({item for _, _, item, _ in made}), documents)
    sides = {
        "ours, n = 13": [bool(own) for own in found],
        "datatrove, n = 12, its default": peer["default"]["found"],
        "datatrove, n = 12, with find_query_ngrams": peer["query"]["found"],
    }
    edits = list(EDITS)
    rows = [
        [side, *(share([hit for (_, e, _, _), hit in zip(made, hits) if e == edit]) for edit in edits)]
        for side, hits in sides.items()
    ]
    rows += [
        [f"ours: {name}", *(share([bool(own) for (b, e, _, _), own in zip(made, found) if (b, e) == (name, edit)])
                            for edit in edits)]
        for name in index.names
    ]  # fmt: skip
    return [
        "## Recall\n",
        f"Items of at least 13 words, {5 if given.quick else ITEMS} of each benchmark (seeded), each planted with "
        f"every edit into {HOST_CHARACTERS} characters of a document of its own: {len(documents):,} documents. Found: "
        "any n-gram of any item is in the document. A cell is per cent found (documents; an edit that does not apply "
        "to an item is left out).\n",
        table(["", *edits], rows),
        f"\nOurs names the planted item in {named:,} of the {sum(map(bool, found)):,} documents found. Plain Python "
        f"decides otherwise on {wrong} of {len(documents):,}. datatrove got the planted items alone, the "
        "first text of each as query and the others as label (where there is one text, as label).\n",
        f"datatrove took {peer['default']['cpu']:.1f} CPU s for these {size_mb(documents):.1f} MB "
        f"({size_mb(documents) / peer['default']['cpu']:.2f} MB/s, spaCy's words, its default).\n",
    ]


def share(hits: list[bool]) -> str:
    return f"{100 * sum(hits) / len(hits):.0f} ({len(hits)})" if hits else "–"


def size_mb(texts: list[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def datatrove(given: Setting, index: Indexed, planted_items: list[int], documents: list[str]) -> dict[str, Any]:
    """Return what datatrove finds of some items in the documents."""
    texts = [index.items[item].texts for item in planted_items]
    pairs = [(own[0], "\n".join(own[1:])) for own in texts]
    items = [{"query": query if label else "", "label": label or query} for query, label in pairs]
    asked, answer = given.work / "decontamination.json", given.work / "answer.json"
    asked.write_text(json.dumps({"items": items, "documents": documents}))
    script = Path(__file__).with_name("peer_decontamination.py")
    return run([given.peers or "", script, asked, answer], given.log("peer"), answer).answer


def precision(index: Indexed, texts: list[str]) -> list[str]:
    """Say what is found in the corpus as it is."""
    documents, ngrams, _, _ = find(*flatten(pa.array(texts, pa.large_string())), index.ngrams)
    by_item: dict[str, list[int]] = defaultdict(list)
    for row, item in zip(*index.ngrams.occurrences(ngrams)):
        by_item[index.items[item].place].append(int(row))
    lines = [
        f"- {place}: {len(set(ngrams[rows].tolist()))} n-grams in {len(set(documents[rows].tolist()))} documents, "
        f"the first `{index.ngrams.text(int(ngrams[rows[0]]))}`"
        for place, rows in sorted(by_item.items(), key=lambda found: -len(found[1]))[:SHOWN]
    ]
    return [
        "## Precision\n",
        f"Nothing planted: {len(texts):,} documents, {size_mb(texts):.0f} MB. In {len(set(documents.tolist()))} of "
        f"them an n-gram was found, of {len(by_item)} items{'; those with most:' if lines else '.'}\n",
        *lines,
        "",
    ]


def speed(given: Setting, index: Indexed, python: Python, texts: list[str]) -> list[str]:
    """Time the search in this process, in turn with plain Python on a slice."""
    large, small = (first(texts, megabytes) for megabytes in (SPEED_MB, PYTHON_MB))
    buffers = flatten(pa.array(large, pa.large_string()))
    own, plain = [], []
    for _ in range(given.rounds):
        own.append(timed(lambda: find(*buffers, index.ngrams)) / size_mb(large))
        plain.append(timed(lambda: [python.finds(text) for text in small]) / size_mb(small))
    row = [
        f"{size_mb(large):.0f}",
        spread([1 / s for s in own], 0),
        spread([1 / s for s in plain], 1),
        ratio(plain, own),
    ]
    head = ["MB", "ours MB/s", f"plain Python MB/s, {size_mb(small):.0f} MB", "ratio"]
    return ["## Speed\n", "One process, one thread, decoded text in, places of n-grams out.\n", table(head, [row])]


def first(texts: list[str], megabytes: float) -> list[str]:
    total, chosen = 0.0, []
    for text in texts:
        if total < megabytes * 1e6:
            chosen.append(text)
            total += len(text)
    return chosen


def timed(call: Any) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


if __name__ == "__main__":
    main()
