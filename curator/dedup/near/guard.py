"""Stop where a source would lose more than it may: a false merge is cheaper to find before it is done."""

from __future__ import annotations

from collections import Counter

import numpy as np

from curator.dedup.near.documents import Documents
from curator.dedup.near.links import Census
from curator.errors import LossError
from curator.rejections import LISTED, RejectListed, read_list
from curator.run.corpus import Corpus

FEW = 1000  # documents of a source below which a share says nothing
SHOWN = 3  # witnesses named


def check(
    corpus: Corpus,
    documents: Documents,
    census: Census,
    lost: dict[int, int],
    rejecting: RejectListed,
    share: float,
    allowed: tuple[str, ...],
) -> None:
    """Raise LossError for the first source, by name, of which more than `share` would go.

    `lost`: removals of each part. Sources of fewer than FEW documents are not judged.
    """
    had, loses = Counter[str](), Counter[str]()
    for part, source, shelf in zip(corpus.parts, corpus.sources, documents.shelves[documents.first_own :], strict=True):
        had[source] += int(census.rows[shelf.number])
        loses[source] += lost.get(part, 0)
    for source in sorted(had):
        if had[source] >= FEW and loses[source] > share * had[source] and source not in allowed:
            raise LossError(
                f"FuzzyDedup would remove {loses[source]:,} of the {had[source]:,} documents of source {source} "
                f"({loses[source] / had[source]:.1%}), more than max_source_loss {share:g}; "
                f"{_most(corpus, rejecting, source)}. If that is right, --set FuzzyDedup.allow_loss=[{source}]"
            )


def _most(corpus: Corpus, rejecting: RejectListed, source: str) -> str:
    """Say which kept documents stand for most of a source's removals."""
    counts: Counter[int] = Counter()
    for part, name in zip(corpus.parts, corpus.sources, strict=True):
        if name == source:
            witnesses = read_list(rejecting.file(part), LISTED)["witness"].to_numpy()
            counts.update(dict(zip(*(column.tolist() for column in np.unique(witnesses, return_counts=True)))))
            counts = Counter(dict(counts.most_common(100 * SHOWN)))
    said = ", ".join(f"{count:,} for doc_id {witness}" for witness, count in counts.most_common(SHOWN))
    return f"most of them {said}"
