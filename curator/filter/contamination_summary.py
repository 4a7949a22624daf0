"""What of each benchmark was found in a corpus, and where most of it lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from curator.filter.benchmarks import Item

if TYPE_CHECKING:
    from curator.kernels.ngram_sets import Ngrams

WORST = 20  # items named of a benchmark
EXCERPT = 300  # characters of each
COMMON = 10  # n-grams named that are too common to be evidence


class Tally(NamedTuple):
    """What was found in some parts: the items, ascending, and of each ..."""

    items: np.ndarray  # int64
    documents: np.ndarray  # int64: that hold any of its n-grams
    most: np.ndarray  # int64: n-grams of it in the document that holds most
    holder: np.ndarray  # uint64: doc_id of that one, of the first such
    ngrams: np.ndarray  # int64: the n-grams found in all, ascending
    by_benchmark: np.ndarray  # int64 (benchmarks): documents that hold any

    @staticmethod
    def of(
        ids: np.ndarray, rows: np.ndarray, found: np.ndarray, ngrams: Ngrams, benchmark: np.ndarray
    ) -> tuple[Tally, np.ndarray]:
        """Return the tally of some matches, and int64 (documents): the item each holds most n-grams of, or -1.

        ids: uint64 (documents); rows, found: int64 (matches), the document and n-gram of each.
        """
        pairs = np.unique(rows << 32 | found)
        which, items = ngrams.occurrences(pairs & 0xFFFFFFFF)
        held, counts = np.unique(items << 32 | (pairs >> 32)[which], return_counts=True)
        item, row = held >> 32, held & 0xFFFFFFFF
        best = np.full(len(ids), -1, np.int64)
        order = np.lexsort((-item, counts))  # the last to be written holds most, and is the first item of these
        best[row[order]] = item[order]
        order = np.lexsort((row, -counts, item))
        named, at, documents = np.unique(item, return_index=True, return_counts=True)
        top = order[at]  # the items' rows are together in both orders
        touched = np.unique(benchmark[item] << 32 | row) >> 32
        by_benchmark = np.bincount(touched, minlength=int(benchmark.max(initial=0)) + 1)
        return Tally(named, documents, counts[top], ids[row[top]], np.unique(found), by_benchmark), best


def summary(
    items: Sequence[Item],
    benchmark: np.ndarray,
    names: Sequence[str],
    ngrams: Ngrams,
    documents: np.ndarray,
    common: np.ndarray,
    tallies: Sequence[Tally],
) -> list[dict[str, Any]]:
    """Return what is said of each benchmark, as plain values.

    benchmark: int64 (items), which of `names`; documents: int64 (n-grams), that hold each; common: int64, the
    n-grams that are no evidence; tallies: of parts in their order.
    """
    held, most = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
    holder = np.zeros(len(items), np.uint64)
    found = np.zeros(len(ngrams.keys), bool)
    for tally in tallies:
        more = tally.most > most[tally.items]
        held[tally.items] += tally.documents
        holder[tally.items[more]] = tally.holder[more]
        most[tally.items[more]] = tally.most[more]
        found[tally.ngrams] = True
    totals = sum((tally.by_benchmark for tally in tallies), np.zeros(len(names), np.int64))
    owner = np.repeat(np.arange(len(ngrams.keys)), np.diff(ngrams.first))
    sizes = np.bincount(ngrams.items, minlength=len(items))  # n-grams of each item
    said = []
    for number, name in enumerate(names):
        own = np.flatnonzero(benchmark == number)
        its = np.unique(owner[benchmark[ngrams.items] == number])
        ignored = its[np.isin(its, common)]
        ignored = ignored[np.lexsort((ignored, -documents[ignored]))]
        share = most[own] / np.maximum(sizes[own], 1)
        worst = own[np.lexsort((own, -most[own], -share))][:WORST].tolist()
        said.append(
            {
                "benchmark": name,
                "files": list(dict.fromkeys(items[i].url for i in own.tolist())),
                "items": len(own),
                "items_too_short": int((sizes[own] == 0).sum()),
                "items_found": int((most[own] > 0).sum()),
                "ngrams": len(its),
                "ngrams_found": int(found[its].sum()),
                "ngrams_common": len(ignored),
                "documents": int(totals[number]),
                "worst": [_worst(items[i], sizes[i], most[i], held[i], holder[i]) for i in worst if most[i]],
                "common": [{"ngram": ngrams.text(g), "documents": int(documents[g])} for g in ignored[:COMMON]],
            }
        )
    return said


def _worst(item: Item, ngrams: int, most: int, documents: int, holder: int) -> dict[str, Any]:
    return {
        "item": item.place,
        "ngrams": int(ngrams),
        "found": int(most),  # in the document that holds most of them
        "doc_id": int(holder),
        "documents": int(documents),
        "text": "\n".join(item.texts)[:EXCERPT],
    }
