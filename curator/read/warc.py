"""Web pages from WARC and ARC files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from curator.read.http import MAX_PAGE_BYTES, Head, UndecodableBody, decode_body, parse_head
from curator.stage import Batch, Part, Reader, Unread

if TYPE_CHECKING:
    import pyarrow as pa

    from curator.read.arc import Record

HEAD_BYTES = 64 << 10  # in which an HTTP header must end
HTML = ("text/html", "application/xhtml+xml", "application/vnd.wap.xhtml+xml")
XML = ("text/xml", "application/xml")  # what much XHTML is served as, and much else
NAMED = (  # types that skipped records are counted by; the others by their first half
    *XML,
    "application/json",
    "application/javascript",
    "application/octet-stream",
    "application/pdf",
    "text/css",
    "text/dns",
    "text/javascript",
    "text/plain",
)
HALVES = ("application", "audio", "font", "image", "text", "video")
# WHATWG MIME Sniffing, section 7.1, less what is no page without more around it
STARTS_AS_HTML = re.compile(
    rb"(?:\s|\xef\xbb\xbf|<!--.*?-->|<\?xml[^>]*>)*"
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|h1|div|font|table|a|style|title|b|br|p)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)
STARTS_AS_XHTML = re.compile(  # an XML document is a page only by its root
    rb"(?:\s|\xef\xbb\xbf|<!--.*?-->|<\?[^>]*>)*(?:<!doctype\s+html\b|<html[\s>])", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class ReadWarc(Reader):
    """Read the HTML pages of WARC 1.x and ARC files, plain, gzip or (WARC) zstd.

    A page is a response with a 2xx status, or a resource, that is HTML or XHTML: by the type the
    crawler identified, else the HTTP header's, else, where there is none or it is XML, by the first
    bytes. Every other record is counted in `skipped`. A truncated page (WARC-Truncated) is a page.
    """

    path: Any  # a glob, a list of globs, or {source: glob}
    source: str | None = None  # name of the source; None: by `path`
    part_mb: int = 64  # unused: a compressed stream cannot be split

    writes = {"doc_id": "uint64", "id": "string", "source": "string", "url": "string", "html": "string"}
    libraries = ("fastwarc", "resiliparse")

    def read(self, part: Part, batch_bytes: int) -> Iterator[Batch]:
        """Yield the file's pages. `id` is the WARC-Record-ID, or a hash of URL and position.

        Memory: a batch and the largest page. Raises BadFile on a file that is cut short, corrupt,
        empty or no archive.
        """
        from curator.read.arc import records
        from millrace.storage import opening

        pages = _Pages(part, part.source)
        row = 0
        with opening(part.url) as stream:
            for position, record in enumerate(records(stream)):
                if pages.html_bytes >= batch_bytes:  # here, where the record before is known to be whole
                    yield pages.batch()
                found = _page(record)
                if isinstance(found, str):
                    pages.skipped[found] += 1
                    continue
                pages.add(row, record.id or _hash(record.url, position), record.url, found)
                row += 1
        if pages:
            yield pages.batch()


@dataclass
class _Pages:
    """The batch being filled."""

    part: Part
    source: str
    rows: list[tuple[int, str, str, bytes]] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    html_bytes: int = 0

    def __bool__(self) -> bool:
        return bool(self.rows or self.unread or self.skipped)

    def add(self, row: int, name: str, url: str, page: tuple[bytes, str | None] | _Unreadable) -> None:
        from curator.read.charset import decode

        if isinstance(page, _Unreadable):
            self.unread.append(Unread(row, name, url, page.reason, page.detail))
            return
        html = decode(*page).encode("utf-8", "replace")
        self.rows.append((row, name, url, html))
        self.html_bytes += len(html)

    def batch(self) -> Batch:
        """Return what was collected, and begin anew."""
        batch = Batch(self._table(), self.unread, self.skipped)
        self.rows, self.unread, self.skipped, self.html_bytes = [], [], Counter(), 0
        return batch

    def _table(self) -> pa.Table:
        import pyarrow as pa

        from curator.schema import arrow_schema

        rows, names, urls, pages = zip(*self.rows) if self.rows else ((), (), (), ())
        ids = [self.part.number << 32 | row for row in rows]
        schema = arrow_schema(dict(ReadWarc.writes))
        columns = (ids, names, [self.source] * len(ids), urls, pages)
        return pa.table([pa.array(c, kind) for c, kind in zip(columns, schema.types)], schema=schema)


@dataclass(frozen=True)
class _Unreadable:
    reason: str
    detail: str = ""


def _page(record: Record) -> tuple[bytes, str | None] | _Unreadable | str:
    """Return a page's bytes and declared charset, or why it cannot be read, or the kind of a record
    that is no page."""
    if record.kind == "response" and record.mime in ("application/http", ""):
        block = record.read(HEAD_BYTES)
        head = parse_head(block)
        if head is None:
            return _Unreadable("bad_http_header", repr(block[:60]))
        if not 200 <= head.status <= 299:
            return f"http {head.status}"
    elif record.kind in ("response", "resource"):
        block, head = b"", Head(200, {"content-type": record.mime}, 0)
    else:
        return record.kind if record.kind in KINDS else "unknown"
    mime = record.payload_mime or head.mime
    if mime and mime not in HTML and mime not in XML:
        return _type(mime)
    body = block[head.length :] + record.read(MAX_PAGE_BYTES + 1)
    try:
        body = decode_body(body, head)
    except UndecodableBody as error:
        return _Unreadable("bad_content_encoding", str(error))
    if len(body) > MAX_PAGE_BYTES:
        return _Unreadable("page_too_large", f"over {MAX_PAGE_BYTES >> 20} MiB")
    if mime not in HTML and not (STARTS_AS_XHTML if mime else STARTS_AS_HTML).match(body[:4096]):
        return _type(mime)
    return body, head.charset


KINDS = ("warcinfo", "request", "metadata", "revisit", "conversion", "continuation", "filedesc")


def _type(mime: str) -> str:
    """Name a type among few: servers send thousands."""
    first = mime.partition("/")[0]
    if not mime:
        return "type unknown"
    return f"type {mime}" if mime in NAMED else f"type {first}/*" if first in HALVES else "type other"


def _hash(url: str, position: int) -> str:
    import xxhash

    return xxhash.xxh3_128_hexdigest(f"{url}\n{position}".encode("utf-8", "replace"))
