"""What the arms are made of: pages of a crawl as all their visible text, and texts, planted copies apart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SCHEMA = pa.schema([("id", pa.string()), ("text", pa.string())])


def write(path: Path, documents: Iterator[tuple[str, str]]) -> None:
    """Write documents (id, text) in batches."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as out:
        batch: list[tuple[str, str]] = []
        for document in documents:
            batch.append(document)
            if len(batch) == 1000:
                out.write_table(_table(batch))
                batch.clear()
        out.write_table(_table(batch))


def _table(batch: list[tuple[str, str]]) -> pa.Table:
    ids, texts = [name for name, _ in batch], [text for _, text in batch]
    return pa.table({"id": ids, "text": texts}, schema=SCHEMA)


def visible(crawl: Path) -> Iterator[tuple[str, str]]:
    """Yield each HTML page of a crawl with all its visible text, navigation and footers included."""
    from fastwarc.warc import ArchiveIterator, WarcRecordType
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.encoding import detect_encoding
    from resiliparse.parse.html import HTMLTree

    with crawl.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
            content = record.reader.read()
            tree = HTMLTree.parse_from_bytes(content, detect_encoding(content))
            text = extract_plain_text(tree, main_content=False, alt_texts=False)
            if text.strip():
                yield record.headers["WARC-Target-URI"], text


def texts(corpus: Path, truth: Path, planted: bool) -> Iterator[tuple[str, str]]:
    """Yield the texts of the corpus: those that are no planted copies, or the planted copies only."""
    copies = pq.read_table(truth, columns=["copy_id"])["copy_id"]
    table = pq.read_table(corpus)
    chosen = pc.is_in(table["id"], copies.combine_chunks())
    table = table.filter(chosen if planted else pc.invert(chosen))
    for batch in table.to_batches(max_chunksize=1000):
        yield from zip(map(str, batch["id"].to_pylist()), batch["text"].to_pylist())
