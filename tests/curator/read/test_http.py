"""HTTP messages as archives hold them, honest and lying."""

import gzip
import io
import zlib

import pytest
from fastwarc.stream_io import BrotliWriter, ChunkedWriter, ZstdWriter
from hypothesis import given
from hypothesis import strategies as st

from curator.read import http
from curator.read.http import Head, UndecodableBody, decode_body, parse_head

TEXT = b"<html><body><p>It was the best of times, it was the worst of times.</p></body></html>" * 40


def _head(**fields: str) -> Head:
    return Head(200, {name.replace("_", "-"): value for name, value in fields.items()}, 0)


def _written(writer: type, text: bytes) -> bytes:
    target = io.BytesIO()
    target.close = lambda: None  # type: ignore[method-assign]
    coder = writer(target)
    coder.write(text)
    coder.close()
    return target.getvalue()


def _deflated(text: bytes) -> bytes:
    coder = zlib.compressobj(wbits=-15)
    return coder.compress(text) + coder.flush()


def test_a_header_is_read_with_either_line_end_and_with_none_after_it() -> None:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: Text/HTML; Charset='UTF-8'\r\nX: 1\r\n\r\nbody"
    for message in (block, block.replace(b"\r\n", b"\n")):
        head = parse_head(message)
        assert head is not None
        assert (head.status, head.mime, head.charset) == (200, "text/html", "UTF-8")
        assert message[head.length :] == b"body"
    assert parse_head(b"HTTP/2 204\r\nA: b") == Head(204, {"a": "b"}, 16)
    assert parse_head(b"<html>") is None


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("x-gzip", gzip.compress(TEXT, mtime=0)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", _deflated(TEXT)),
        ("br", _written(BrotliWriter, TEXT)),
        ("zstd", _written(ZstdWriter, TEXT)),
        ("deflate, gzip", gzip.compress(zlib.compress(TEXT), mtime=0)),
        ("identity", TEXT),
        ("utf-8", TEXT),  # a charset where a coding belongs: seen in real crawls
    ],
)
def test_codings_are_undone(coding: str, body: bytes) -> None:
    assert decode_body(body, _head(content_encoding=coding)) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_body_that_was_never_coded_is_kept_as_it_is(coding: str) -> None:
    assert decode_body(TEXT, _head(content_encoding=coding)) == TEXT
    assert decode_body(b"", _head(content_encoding=coding)) == b""


def test_chunks_are_joined_and_a_body_without_chunks_is_kept() -> None:
    chunked = _head(transfer_encoding="chunked")
    assert decode_body(_written(ChunkedWriter, TEXT), chunked) == TEXT
    assert decode_body(b"5;name=value\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", chunked) == b"hello"
    assert decode_body(TEXT, chunked) == TEXT


def test_chunks_around_gzip() -> None:
    body = _written(ChunkedWriter, gzip.compress(TEXT))
    assert decode_body(body, _head(transfer_encoding="chunked", content_encoding="gzip")) == TEXT


def test_of_a_body_cut_short_what_is_there_is_kept() -> None:
    cut = decode_body(gzip.compress(TEXT)[:-20], _head(content_encoding="gzip"))
    assert TEXT.startswith(cut)
    assert len(cut) > 40
    assert decode_body(b"a\r\nhello", _head(transfer_encoding="chunked")) == b"hello"


def test_bytes_that_are_neither_the_coding_nor_text_are_refused() -> None:
    with pytest.raises(UndecodableBody, match="content-encoding gzip"):
        decode_body(zlib.compress(TEXT), _head(content_encoding="gzip"))


def test_a_decompression_bomb_stops_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_PAGE_BYTES", 1 << 20)
    bomb = gzip.compress(bytes(50 << 20))
    assert len(decode_body(bomb, _head(content_encoding="gzip"))) == (1 << 20) + 1


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "br", "zstd", "chunked"]))
def test_any_bytes_are_decoded_kept_or_refused(body: bytes, coding: str) -> None:
    try:
        decode_body(body, _head(content_encoding=coding))
    except UndecodableBody:
        assert not http.looks_like_text(body)
