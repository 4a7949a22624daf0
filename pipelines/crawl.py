"""Crawl a folder of web pages over HTTP into a WARC, byte for byte the same on every machine.

A server on 127.0.0.1 gives the pages; a client asks for them one at a time, breadth first, as their links
lead; what crossed the socket goes into the archive as it was. All that would differ from one machine to the
next is fixed: the clock stands at the newest file of the site, content types come from a table instead of the
system's, and the site goes by a host name of its own instead of by the port it was given.

The archive is WARC 1.1 (ISO 28500:2017): one warcinfo record, then a request and a response for each URL,
each record a gzip member, with SHA-1 block and payload digests.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import string
import threading
import uuid
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.client import parse_headers
from http.server import SimpleHTTPRequestHandler
from pathlib import Path, PurePosixPath
from socketserver import TCPServer
from typing import IO, Any
from urllib.parse import quote, urldefrag, urljoin, urlsplit

AGENT = "millrace-demo"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
}


@dataclass(frozen=True)
class Tally:
    """How many URLs were answered in each way; the first four add up to the URLs asked for."""

    pages: int = 0  # 200, HTML
    files: int = 0  # 200, anything else
    redirects: int = 0
    missing: int = 0
    left: int = 0  # found, not asked for: max_requests was reached


@dataclass(frozen=True)
class Exchange:
    """One request and its response, as they crossed the socket."""

    url: str
    sent: bytes
    received: bytes

    @property
    def status(self) -> int:
        return int(self.received.split(b" ", 2)[1])

    @property
    def body(self) -> bytes:
        return self.received.partition(b"\r\n\r\n")[2]

    def header(self, name: str) -> str:
        """Return a header of the response; "" where it has none of that name."""
        head = io.BytesIO(self.received)
        head.readline()  # the status line
        return parse_headers(head).get(name, "")

    @property
    def kind(self) -> str:
        """Return the field of Tally that counts this exchange."""
        if self.status == 200:
            return "pages" if self.header("Content-Type").startswith("text/html") else "files"
        return "redirects" if self.status < 400 else "missing"


def crawl(site: Path, host: str, warc: IO[bytes], max_requests: int = 2000) -> Tally:
    """Serve a folder as http://<host>/, follow the links from /index.html, and write a WARC.

    Only <a href> and redirects are followed, and only within the site. The site must hold one file or more.
    """
    from fastwarc import GzipWriter

    clock = max(path.stat().st_mtime for path in site.rglob("*") if path.is_file())
    start = f"http://{host}/index.html"
    queue, seen, counts = deque([start]), {start}, Counter[str]()
    with _serving(site, clock) as port, GzipWriter(warc) as writer:
        _write_info(writer, host, clock)
        while queue and counts.total() < max_requests:
            exchange = _get(port, queue.popleft())
            _write(writer, exchange, clock)
            counts[exchange.kind] += 1
            for url in _links(exchange):
                if url not in seen:
                    seen.add(url)
                    queue.append(url)
    return Tally(counts["pages"], counts["files"], counts["redirects"], counts["missing"], left=len(queue))


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    error_content_type = "text/html; charset=utf-8"
    error_message_format = "<!DOCTYPE html>\n<title>%(code)d</title>\n<p>%(code)d %(message)s</p>\n"

    def __init__(self, *args: Any, clock: float, **kwargs: Any) -> None:
        self.clock = clock
        super().__init__(*args, **kwargs)  # answers the request

    def version_string(self) -> str:
        return AGENT

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string(self.clock if timestamp is None else timestamp)

    def guess_type(self, path: Any) -> str:
        return TYPES.get(PurePosixPath(path).suffix, "application/octet-stream")

    def list_directory(self, path: Any) -> None:
        self.send_error(404, "File not found")

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@contextlib.contextmanager
def _serving(site: Path, clock: float) -> Iterator[int]:
    # TCPServer, because HTTPServer asks the name service for its own name, which can take seconds
    with TCPServer(("127.0.0.1", 0), partial(_Handler, directory=str(site), clock=clock)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _get(port: int, url: str) -> Exchange:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc}", f"User-Agent: {AGENT}", "Connection: close"]
    sent = "\r\n".join([*lines, "", ""]).encode("ascii")
    connecting = socket.create_connection(("127.0.0.1", port), timeout=30)  # seconds
    with connecting as connection, connection.makefile("rb") as stream:
        connection.sendall(sent)
        return Exchange(url, sent, stream.read())


def _links(exchange: Exchange) -> list[str]:
    """Return the URLs of its own site that a response leads to, in order, without fragments."""
    # resiliparse 2.0.1 takes 4 ms for each element of a collection, and a page has thousands
    import lxml.html  # type: ignore[import-untyped]

    hrefs = [exchange.header("Location")] if exchange.kind == "redirects" else []
    if exchange.kind == "pages" and exchange.body.strip():
        parser = lxml.html.HTMLParser(encoding="utf-8")
        hrefs = lxml.html.document_fromstring(exchange.body, parser).xpath("//a/@href")
    here, found = urlsplit(exchange.url), []
    for href in hrefs:
        try:
            url = urldefrag(urljoin(exchange.url, href)).url
            there = urlsplit(url)
        except ValueError:  # e.g. http://[ ; a browser does not follow it either
            continue
        if (there.scheme, there.netloc) == (here.scheme, here.netloc):
            found.append(quote(url, safe=string.punctuation))
    return found


def _write_info(writer: Any, host: str, clock: float) -> None:
    fields = {"software": AGENT, "format": "WARC File Format 1.1", "isPartOf": host}
    content = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    headers = {"WARC-Record-ID": _urn("warcinfo", host), "Content-Type": "application/warc-fields"}
    _write_record(writer, "warcinfo", clock, headers, content.encode())


def _write(writer: Any, exchange: Exchange, clock: float) -> None:
    both = {"WARC-Target-URI": exchange.url, "WARC-IP-Address": "127.0.0.1"}
    response = _urn("response", exchange.url)
    request = {"WARC-Record-ID": _urn("request", exchange.url), "WARC-Concurrent-To": response}
    _write_record(writer, "request", clock, request | both, exchange.sent)
    _write_record(writer, "response", clock, {"WARC-Record-ID": response} | both, exchange.received)


def _urn(kind: str, url: str) -> str:
    return f"<{uuid.uuid5(uuid.NAMESPACE_URL, f'{kind} {url}').urn}>"


def _write_record(writer: Any, kind: str, clock: float, headers: dict[str, str], content: bytes) -> None:
    from fastwarc import WarcRecord, WarcRecordType

    record = WarcRecord()
    record.init_headers(getattr(WarcRecordType, kind))
    record.headers.status_line = "WARC/1.1"
    record.record_date = datetime.fromtimestamp(int(clock), UTC)
    record.is_http = kind != "warcinfo"  # sets Content-Type
    for name, value in headers.items():
        record.headers[name] = value
    record.set_bytes_content(content)
    payload = hashlib.sha1(content.partition(b"\r\n\r\n")[2]).digest() if kind == "response" else None
    record.write(writer, checksum_data=True, payload_digest=payload)
    writer.finish()  # ends the gzip member, so that a reader can start at any record
