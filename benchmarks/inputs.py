"""Cut the benchmark's input: a seeded slice that keeps duplicates together, and several files of one."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SLICE_MB = 20
ROW_GROUPS = 10
CHUNK = 1 << 16  # bytes unpacked in one go
MARKS = "zqxjvk"  # of the copies of a corpus
PAGE_TYPE = b"WARC-Identified-Payload-Type"


def corpus(path: Path) -> pa.Table:
    """Return (id, text) with text as one large string array a chunk."""
    table = pq.read_table(path, columns=["id", "text"])
    return table.set_column(1, "text", table["text"].cast(pa.large_string()))


def short_digest(text: str) -> str:
    """Return 16 hex digits that tell texts apart; the peers' script makes the same."""
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def text_mb(table: pa.Table) -> float:
    """Return the megabytes of a table's text in UTF-8."""
    return float(pc.sum(pc.binary_length(table["text"])).as_py() or 0) / 1e6


def pairs(bench: Path) -> list[tuple[int, int]]:
    """Return the ids of every pair known to be alike: planted ones and natural ones."""
    planted = pq.read_table(bench / "truth.parquet", columns=["copy_id", "source_id"]).to_pydict()
    natural = pq.read_table(bench / "natural_pairs.parquet", columns=["id_a", "id_b"]).to_pydict()
    both = [planted["copy_id"] + natural["id_a"], planted["source_id"] + natural["id_b"]]
    return list(zip(*both, strict=True))


def cut_slice(path: Path, bench: Path, out: Path, megabytes: float = SLICE_MB, seed: int = 0) -> Path:
    """Write a random part of the corpus, in its order; documents known to be alike come or go together."""
    table = corpus(path)
    row = {name: place for place, name in enumerate(table["id"].to_pylist())}
    leader = list(range(len(row)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = place = leader[leader[place]]
        return place

    for a, b in pairs(bench):
        if a in row and b in row:
            leader[find(row[a])] = find(row[b])
    group = np.array([find(place) for place in range(len(leader))])
    sizes = np.bincount(group, pc.binary_length(table["text"]).to_numpy(), len(leader))
    order = np.random.default_rng(seed).permutation(len(leader))
    chosen = order[np.cumsum(sizes[order]) <= megabytes * 1e6]
    pq.write_table(table.filter(pa.array(np.isin(group, chosen))), out, compression="zstd")
    return out


def cut_parquet(path: Path, folder: Path, files: int, copies: int = 1) -> Path:
    """Write the corpus as `files` files of equal documents a copy.

    A further copy has other ids, and a letter more on each word: as many duplicates, none of another copy's
    (with a number instead they would be for datatrove, which takes all numbers for one).
    """
    folder.mkdir()
    table = corpus(path)
    rows, written = -(-len(table) // files), 0
    for copy in range(copies):
        ids = pc.add(table["id"], pa.scalar(copy << 44, pa.int64()))  # the corpus has ids below 2**41
        text = pc.replace_substring(table["text"], " ", f"{MARKS[copy - 1]} ") if copy else table["text"]
        marked = pa.table({"id": ids, "text": text})
        for start in range(0, len(table), rows):
            part = marked.slice(start, rows)
            out = folder / f"part-{written:04d}.parquet"
            pq.write_table(part, out, row_group_size=max(1, -(-len(part) // ROW_GROUPS)), compression="zstd")
            written += 1
    return folder


def cut_jsonl(source: Path, folder: Path) -> Path:
    """Write each Parquet file of a folder as JSON lines of id and text."""
    folder.mkdir()
    for path in sorted(source.glob("*.parquet")):
        with (folder / f"{path.stem}.jsonl").open("w", encoding="utf-8") as out:
            for batch in pq.ParquetFile(path).iter_batches(columns=["id", "text"]):
                out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.to_pylist())
    return folder


def cut_warc(path: Path, folder: Path, files: int, every: int = 1, typed: bool = True) -> Path:
    """Write the records of a .warc.gz in turn to `files` files; of the responses, only each `every`th.

    typed: name each response's type in the WARC header, as Common Crawl does; datatrove goes by that.
    """
    folder.mkdir()
    streams = [(folder / f"pages-{number:02d}.warc.gz").open("wb") for number in range(files)]
    pages = 0
    for record in members(path.read_bytes()):
        if b"WARC-Type: response" not in record[:1000]:
            continue
        if pages % every == 0:
            streams[pages // every % files].write(_packed(_typed(record) if typed else record))
        pages += 1
    for stream in streams:
        stream.close()
    return folder


def members(data: bytes) -> Iterator[bytes]:
    """Yield the unpacked members of a gzip file: one a WARC record."""
    place = 0
    while place < len(data):
        unpacker, pieces = zlib.decompressobj(31), []
        while not unpacker.eof and place < len(data):
            pieces.append(unpacker.decompress(data[place : place + CHUNK]))
            place += CHUNK
        place -= len(unpacker.unused_data) + max(0, place - len(data))
        yield b"".join(pieces)


def _packed(record: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(record) + packer.flush()


def _typed(record: bytes) -> bytes:
    """Add the payload's type, as the HTTP header or the first bytes of the page give it."""
    head, _, rest = record.partition(b"\r\n\r\n")
    if PAGE_TYPE in head:
        return record
    http = rest.partition(b"\r\n\r\n")[0].lower()
    line = next((x for x in http.split(b"\r\n") if x.startswith(b"content-type:")), b"")
    mime = line.partition(b":")[2].partition(b";")[0].strip() or b"text/html"
    return head + b"\r\n" + PAGE_TYPE + b": " + mime + b"\r\n\r\n" + rest
