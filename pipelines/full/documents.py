"""The documents that a curation kept, and which of them nothing may learn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import pyarrow as pa

from millrace import storage, tables
from pretrain.config import Data


@dataclass(frozen=True)
class Document:
    """A kept document."""

    id: str
    cluster: str  # documents of one are held out together
    text: str
    held: bool = False  # out of every training file, and of pretraining


def read(run: str) -> Iterator[Document]:
    """Yield the documents of a curation run in their order; memory: a part."""
    folder = storage.join(run, "documents")
    for name in storage.list_folder(folder):
        columns = tables.read_table(storage.join(folder, name), ["id", "url", "text"]).to_pydict()
        for id, url, text in zip(columns["id"], columns["url"], columns["text"]):
            yield Document(id, page_of(url), text)


def page_of(url: str) -> str:
    """Return the page that a URL names on whatever host: two releases of one page are near-copies.

    What near-duplicate detection leaves of them differs in a fifth of its 5-grams, and shares whole sections.
    """
    return urlsplit(url).path or "/"


def write_clusters(documents: Sequence[Document], url: str) -> None:
    """Write which document belongs to which cluster, as `data.clusters` of pretraining reads it."""
    ids, clusters = [one.id for one in documents], [one.cluster for one in documents]
    tables.write_table(
        url, pa.table({"id": pa.array(ids, pa.large_string()), "cluster": pa.array(clusters, pa.large_string())})
    )


def held_ids(data: Data) -> set[str]:
    """Return the ids of the documents that pretraining with these settings holds out: its own split, not a second one.

    Raises ShardError.
    """
    from pretrain.data import split
    from pretrain.data.corpus import sets_and_weights
    from pretrain.data.shards import open_sets

    sets = open_sets(sets_and_weights(data.shards)[0], None, None)
    return {
        id
        for one, sides in zip(sets, split.held_out(sets, data), strict=True)
        for shard, held in zip(one.shards, sides, strict=True)
        for id in split.document_ids(shard).filter(pa.array(held)).to_pylist()
    }
