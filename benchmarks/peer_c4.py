"""datatrove's side of benchmarks.c4_sentences; runs in the peers' interpreter and imports nothing of ours.

INPUT ANSWER. The filter judges every document twice: as it is by default, with spaCy's sentences, and with the
limit on sentences off. Documents are decoded before the clock starts, and spaCy is warm.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

WARM_UP = 20


def judged(texts: list[str], min_num_sentences: int) -> dict[str, Any]:
    """Return, a document: the reason to drop it, the sentences counted, and a digest of the text left; and the
    CPU seconds."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import c4_filters

    counts: list[int] = []
    split = c4_filters.split_into_sentences

    def counting(line: str, language: str) -> list[str]:
        found: list[str] = split(line, language)
        counts[-1] += len(found)
        return found

    c4_filters.split_into_sentences = counting
    peer = c4_filters.C4QualityFilter(min_num_sentences=min_num_sentences)
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(texts)]
    said = []
    before = time.process_time()
    for document in documents:
        counts.append(0)
        said.append(peer.filter(document))
    cpu = time.process_time() - before
    c4_filters.split_into_sentences = split
    left = [hashlib.sha256(document.text.encode()).hexdigest() for document in documents]
    return {"cpu": cpu, "reasons": ["" if s is True else s[1] for s in said], "sentences": counts, "left": left}


def main(source: str, answer: str) -> None:
    """Judge the documents of a Parquet file and write what came of it."""
    from loguru import logger

    logger.remove()
    texts = pq.read_table(source, columns=["text"])["text"].to_pylist()
    judged(texts[:WARM_UP], 5)
    Path(answer).write_text(json.dumps({"default": judged(texts, 5), "lines": judged(texts, -1)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
