"""The peers' side of the library benchmarks; runs in the peers' interpreter and imports nothing of ours.

TASK INPUT ANSWER; TASK is rensa, datatrove, filters or filters_spacy. Documents are decoded before the
clock starts, and every library is warm.
"""

from __future__ import annotations

import hashlib
import json
import re
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

WARM_UP = 50


def rensa(texts: list[str]) -> dict[str, Any]:
    """RMinHashDeduplicator, 14 bands of 8 rows, 5-word shingles of \\w+, lower-cased.

    Measured here: add_pairs over a generator is as quick as the digest matrices, from joined shingles or
    from word hashes combined by numpy (those give flags without decisions); rho sketches lose recall.
    """
    from rensa import RMinHashDeduplicator

    words = re.compile(r"\w+").findall

    def shingles(text: str) -> list[str]:
        w = words(text.lower())
        return list(map(" ".join, zip(w, w[1:], w[2:], w[3:], w[4:]))) if len(w) >= 5 else [" ".join(w)][: len(w)]

    dedup = RMinHashDeduplicator(threshold=0.8, num_perm=112, use_lsh=True, num_bands=14)
    kept = dedup.add_pairs((str(row), shingles(text)) for row, text in enumerate(texts))
    return {"removed": [row for row, keep in enumerate(kept) if not keep]}


def datatrove(texts: list[str]) -> dict[str, Any]:
    """The four MinHash stages, called one after the other on documents in memory; default settings."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import (
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
        MinhashDedupSignature,
    )

    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    shared = "/dev/shm" if Path("/dev/shm").is_dir() else None  # its signatures are files; here in memory
    folder = tempfile.mkdtemp(dir=shared)
    MinhashDedupSignature(f"{folder}/signatures").run(iter(documents), 0, 1)
    for bucket in range(14):
        MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets").run(None, bucket, 14)
    MinhashDedupCluster(f"{folder}/buckets", f"{folder}/remove").run(None, 0, 1)
    kept = {document.id for document in MinhashDedupFilter(f"{folder}/remove").run(iter(documents), 0, 1)}
    shutil.rmtree(folder)
    return {"removed": [row for row in range(len(texts)) if str(row) not in kept]}


def filters(texts: list[str], whitespace: bool = True) -> dict[str, Any]:
    """Gopher quality, repetition, FineWeb and C4, each on what those before it keep: its own cost.

    With the words of white space C4 goes without its rule on sentences, which asks spaCy. What the chain does not
    see is judged off the clock. All judge the text as it came.
    """
    from datatrove.data import Document
    from datatrove.pipeline import filters as kinds
    from datatrove.pipeline.filters import fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter

    if whitespace:
        for module in (gopher_quality_filter, gopher_repetition_filter, fineweb_quality_filter):
            module.split_into_words = lambda text, language: text.split()
    judges: list[Any] = [kinds.GopherQualityFilter(), kinds.GopherRepetitionFilter(), kinds.FineWebQualityFilter()]
    judges += [None if whitespace else kinds.C4QualityFilter(), kinds.C4QualityFilter(min_num_sentences=-1)]
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    found: list[list[Any]] = [[None] * len(texts) for _ in judges]
    alive = range(len(texts))
    before = cpu_seconds()
    for place in (0, 1, 2, 4 if whitespace else 3):  # C4 last, for it edits
        for row in alive:
            found[place][row] = judges[place].filter(documents[row])
        alive = [row for row in alive if found[place][row] is True]
    cpu = cpu_seconds() - before
    left = []
    for reasons, judge in zip(found, judges):
        if judge is None:
            continue
        documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
        for row, said in enumerate(reasons):
            if said is None or judge is judges[-1]:
                reasons[row] = judge.filter(documents[row])
        left = [hashlib.blake2b(d.text.encode(), digest_size=8).hexdigest() for d in documents]  # by the last judge
    said = [None if judge is None else ["" if s is True else s[1] for s in one] for one, judge in zip(found, judges)]
    return {"cpu": cpu, "reasons": said, "left": left}


def cpu_seconds() -> float:
    """CPU seconds of this process and the children it has waited for."""
    own, below = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime


def main(task: str, source: str, answer: str) -> None:
    """Do one task once and write what came of it."""
    if task != "rensa":
        from loguru import logger

        logger.remove()
    calls = {
        "rensa": rensa,
        "datatrove": datatrove,
        "filters": filters,
        "filters_spacy": lambda texts: filters(texts, whitespace=False),
    }
    call = calls[task]
    texts = pq.read_table(source, columns=["text"])["text"].to_pylist()
    call(texts[:WARM_UP] * 2)
    began, before = time.perf_counter(), cpu_seconds()
    said = call(texts)
    said = {"cpu": cpu_seconds() - before, "wall": time.perf_counter() - began, **said}
    Path(answer).write_text(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
