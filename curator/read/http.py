"""Stored HTTP responses: header, transfer and content codings, also where the header lies."""

from __future__ import annotations

import io
import itertools
import re
import zlib
from dataclasses import dataclass

MAX_PAGE_BYTES = 256 << 20  # of a decoded body; ours: no page is larger, a decompression bomb is

END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)?\s+(\d{3})\b", re.IGNORECASE)
CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)
CHUNK_SIZE = re.compile(rb"\s*([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
# Control characters that no text has; compressed bytes are full of them (27 of 256).
CONTROL = bytes(set(range(32)) - set(b"\t\n\f\r\x1b"))


@dataclass(frozen=True)
class Head:
    """The header of a response."""

    status: int
    fields: dict[str, str]  # names in lower case; of a repeated name the first, as fastwarc has it
    length: int  # bytes up to the body

    @property
    def mime(self) -> str:
        """The media type in lower case without parameters, or an empty string."""
        return self.fields.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """The charset parameter of the media type."""
        found = CHARSET.search(self.fields.get("content-type", ""))
        return found.group(1) if found else None


class UndecodableBody(Exception):
    """A body that is neither what its header says nor text."""


def parse_head(block: bytes) -> Head | None:
    """Return the header at the start of a block, or None where there is none."""
    status = STATUS_LINE.match(block)
    if status is None:
        return None
    end = END_OF_HEAD.search(block)
    head = block[: end.start()] if end else block
    fields: dict[str, str] = {}
    for line in head.decode("latin-1").splitlines()[1:]:
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return Head(int(status.group(1)), fields, end.end() if end else len(block))


def decode_body(body: bytes, head: Head) -> bytes:
    """Undo the transfer and content codings of a body.

    Crawlers often store a decoded body under the header of the coded one. So a coding that does not
    fit is skipped where the bytes look like text; else UndecodableBody is raised. Of a body cut
    short what is there is returned.
    """
    for field in ("transfer-encoding", "content-encoding"):
        for coding in reversed(head.fields.get(field, "").lower().split(",")):
            try:
                body = _undo(coding.strip(), body)
            except (zlib.error, OSError, ValueError) as error:
                if not looks_like_text(body):
                    raise UndecodableBody(f"{field} {coding.strip()}: {error}"[:200]) from None
    return body


def looks_like_text(body: bytes) -> bool:
    """Tell text in any charset from compressed or other binary bytes."""
    sample = body[:4096]
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    return len(sample) - len(sample.translate(None, CONTROL)) <= len(sample) // 50


def _undo(coding: str, body: bytes) -> bytes:
    if not body:
        return body
    if coding == "chunked":
        return unchunk(body)
    if coding in ("gzip", "x-gzip"):
        return _inflate(body, (31,))
    if coding == "deflate":  # RFC 9110 means zlib; many servers send raw deflate
        return _inflate(body, (15, -15))
    if coding in ("br", "zstd"):
        from fastwarc.stream_io import BrotliReader, ZstdReader

        reader = (BrotliReader if coding == "br" else ZstdReader)(io.BytesIO(body))
        pieces = iter(lambda: reader.read(1 << 20), b"")
        return b"".join(itertools.islice(pieces, MAX_PAGE_BYTES >> 20))
    return body  # identity, none, or a name nobody knows


def _inflate(body: bytes, window_bits: tuple[int, ...]) -> bytes:
    for bits in window_bits:
        inflate = zlib.decompressobj(bits)
        try:
            data = inflate.decompress(body, MAX_PAGE_BYTES + 1)
        except zlib.error as failure:
            error = failure
            continue
        if data or inflate.eof:
            return data
        error = zlib.error("no data")
    raise error


def unchunk(body: bytes) -> bytes:
    """Join the chunks of a body. Raises ValueError where it is not in chunks."""
    chunks, position = [], 0
    while position < len(body):
        size = CHUNK_SIZE.match(body, position)
        if size is None:
            raise ValueError("no chunk size")
        length = int(size.group(1), 16)
        if length == 0:
            break
        chunks.append(body[size.end() : size.end() + length])
        position = size.end() + length
        if body[position : position + 2].strip():
            raise ValueError("no end of chunk")
    return b"".join(chunks)
