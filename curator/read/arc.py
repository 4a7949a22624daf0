"""Records of web archives: WARC through fastwarc, and the older ARC, which fastwarc does not read.

fastwarc stops in silence where a file is cut off. So files are decompressed here, by readers that
notice, and every record must be as long as it says.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from curator.errors import BadFile

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
ZSTD_DICTIONARY = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")  # a skippable frame
BUFFER_BYTES = 1 << 20


@dataclass(frozen=True)
class Record:
    """One record, of which the block is read on demand, before the next record is asked for."""

    kind: str  # WARC-Type; "response" for every ARC record but its first, which is "filedesc"
    id: str  # without angle brackets; empty where there is none
    url: str
    mime: str  # type of the block, in lower case without parameters
    payload_mime: str  # what the crawler found the payload to be, or empty
    read: Callable[[int], bytes]  # up to n bytes of the block


def records(stream: IO[bytes]) -> Iterator[Record]:
    """Yield the records of a WARC or ARC file, plain or compressed. Raises BadFile, as does `read`."""
    raw: Any = stream if hasattr(stream, "peek") else io.BufferedReader(stream, BUFFER_BYTES)
    with _bad_file():
        magic = raw.peek(4)[:4]
        if not magic:
            raise BadFile("empty file")
        if magic == ZSTD or ZSTD_DICTIONARY.match(magic):
            yield from _warc_records(raw, stream_detect=True)
            return
        plain: Any = raw
        if magic.startswith(GZIP):
            plain = io.BufferedReader(gzip.GzipFile(fileobj=raw), BUFFER_BYTES)
        beginning = plain.peek(16).lstrip()
        if beginning.startswith(b"WARC/"):
            yield from _warc_records(plain, stream_detect=False)
        elif beginning.startswith(b"filedesc:"):
            yield from _arc_records(plain)
        else:
            raise BadFile("not a WARC or ARC file" if beginning else "empty file")


@contextlib.contextmanager
def _bad_file() -> Iterator[None]:
    """Turn what decompressors and fastwarc raise into BadFile."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(f"corrupt or cut short: {error}"[:300]) from error


def _warc_records(stream: Any, stream_detect: bool) -> Iterator[Record]:
    from fastwarc.warc import ArchiveIterator

    count = 0
    for record in ArchiveIterator(stream, parse_http=False, stream_detect=stream_detect):
        length = _field(record, b"Content-Length")
        if not length.isdecimal():
            raise BadFile(f"record {count}: no content length")
        yield Record(
            kind=_field(record, b"WARC-Type").lower() or "unknown",
            id=_field(record, b"WARC-Record-ID").strip("<>"),
            url=_field(record, b"WARC-Target-URI").strip("<>"),  # wget wrote the brackets
            mime=_essence(_field(record, b"Content-Type")),
            payload_mime=_essence(_field(record, b"WARC-Identified-Payload-Type")),
            read=_exactly(record.reader.read),
        )
        record.reader.consume()
        if record.reader.tell() != int(length):
            raise BadFile(f"record {count}: cut short")
        count += 1
    if not count:
        raise BadFile("cut short: no record")


def _arc_records(stream: Any) -> Iterator[Record]:
    """Internet Archive, ARC file format (1996): `URL IP date type [...] length`, then the block."""
    fields, count = 5, 0
    while line := stream.readline(BUFFER_BYTES):
        if not line.strip():
            continue
        words = line.decode("utf-8", "replace").strip().rsplit(" ", fields - 1)
        if len(words) != fields or not words[-1].isdecimal():
            raise BadFile(f"record {count}: no ARC header: {line[:60]!r}")
        block = _Block(stream, int(words[-1]))
        if count == 0:
            fields = 10 if block.read(BUFFER_BYTES).startswith(b"2 ") else 5
            yield Record("filedesc", "", words[0], words[3], "", block.read)
        else:
            is_http = words[0].lower().startswith(("http:", "https:"))
            mime = "application/http" if is_http else words[3].lower()
            yield Record("response", "", words[0], mime, "", block.read)
        block.finish(count)
        count += 1


class _Block:
    """The block of an ARC record."""

    def __init__(self, stream: Any, length: int) -> None:
        self.stream, self.left = stream, length

    def read(self, size: int) -> bytes:
        with _bad_file():
            data: bytes = self.stream.read(min(size, self.left))
        self.left -= len(data)
        return data

    def finish(self, count: int) -> None:
        while self.left:
            if not self.read(BUFFER_BYTES):
                raise BadFile(f"record {count}: cut short")


def _field(record: Any, name: bytes) -> str:
    value: bytes = record.headers.get_bytes(name) or b""
    return value.decode("utf-8", "replace").strip()


def _essence(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _exactly(read: Callable[[int], bytes]) -> Callable[[int], bytes]:
    """Return a read that gives less than it was asked for only at the end."""

    def whole(size: int) -> bytes:
        pieces = []
        with _bad_file():  # the reader of the record calls this, outside of `records`
            while size and (piece := read(min(size, BUFFER_BYTES))):
                pieces.append(piece)
                size -= len(piece)
        return b"".join(pieces)

    return whole
