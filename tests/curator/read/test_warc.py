"""Pages from archives: every record is a document, unread or skipped."""

import gzip
import io
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator

from curator.errors import BadFile
from curator.read.warc import ReadWarc
from curator.stage import Batch, Part

PAGE = b"<!DOCTYPE html><html><body><p>hello</p></body></html>"
HTML = "Content-Type: text/html"


def _record(block: bytes, kind: str = "response", url: str = "http://x/", *headers: str) -> bytes:
    mime = "application/http; msgtype=response"
    lines = [
        "WARC/1.1",
        f"WARC-Type: {kind}",
        f"WARC-Target-URI: {url}",
        f"Content-Length: {len(block)}",
        *(headers or (f"Content-Type: {mime}",)),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + block + b"\r\n\r\n"


def _response(body: bytes = PAGE, *headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers]).encode() + b"\r\n\r\n" + body


def _read(path: Path, *records: bytes, batch_bytes: int = 1 << 20, number: int = 0) -> list[Batch]:
    if records:
        path.write_bytes(b"".join(records))
    return list(ReadWarc(str(path)).read(Part(number, str(path), "crawl"), batch_bytes))


def _one(path: Path, *records: bytes) -> Batch:
    (batch,) = _read(path, *records)
    return batch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.warc"


def test_columns_and_numbers(path: Path) -> None:
    named = _record(_response(PAGE, HTML), "response", "http://y/", "WARC-Record-ID: <urn:uuid:1>")
    broken = _record(b"no header")
    (batch,) = _read(path, named, broken, _record(b"", "request"), _record(_response(PAGE, HTML)), number=7)
    first, last = batch.table.to_pylist()
    assert first == {
        "doc_id": 7 << 32,
        "id": "urn:uuid:1",
        "source": "crawl",
        "url": "http://y/",
        "html": PAGE.decode(),
    }
    assert last["doc_id"] == 7 << 32 | 2
    assert len(last["id"]) == 32
    assert [(unread.row, unread.reason) for unread in batch.unread] == [(1, "bad_http_header")]
    assert batch.skipped == {"request": 1}


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (_response(PAGE, HTML), None),
        (_response(PAGE, "content-type: Application/XHTML+XML; charset=utf-8"), None),
        (_response(PAGE), None),
        (_response(b"  <!-- a --><HTML>"), None),
        (
            _response(b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC "x"><html>', "Content-Type: text/xml"),
            None,
        ),
        (_response(b"<html xmlns='x'>", "Content-Type: application/xml"), None),
        (_response(PAGE, HTML, status="206 Partial Content"), None),
        (_response(b"<rss>", "Content-Type: text/xml"), "type text/xml"),
        (_response(b"<p>x", "Content-Type: text/xml"), "type text/xml"),
        (_response(b"hello"), "type unknown"),
        (_response(PAGE, "Content-Type: text/plain"), "type text/plain"),
        (_response(PAGE, "Content-Type: image/x-icon"), "type image/*"),
        (_response(PAGE, "Content-Type: application/x-new"), "type application/*"),
        (_response(PAGE, "Content-Type: nonsense"), "type other"),
        (_response(PAGE, HTML, status="404 Not Found"), "http 404"),
        (_response(PAGE, HTML, status="301 Moved"), "http 301"),
    ],
)
def test_what_is_a_page(path: Path, response: bytes, kind: str | None) -> None:
    batch = _one(path, _record(response))
    assert batch.table.num_rows == (kind is None)
    assert batch.skipped == ({kind: 1} if kind else {})


def test_the_type_that_the_crawler_identified_comes_first(path: Path) -> None:
    http = "Content-Type: application/http"
    html = _record(_response(PAGE, "Content-Type: text/plain"), "response", "http://x/", http,
                   "WARC-Identified-Payload-Type: text/html")  # fmt: skip
    pdf = _record(_response(PAGE, HTML), "response", "http://x/", http,
                  "WARC-Identified-Payload-Type: application/pdf")  # fmt: skip
    batch = _one(path, html, pdf)
    assert batch.table.num_rows == 1
    assert batch.skipped == {"type application/pdf": 1}


def test_a_resource_is_a_page_by_its_own_type(path: Path) -> None:
    batch = _one(
        path,
        _record(PAGE, "resource", "http://x/", "Content-Type: text/html; charset=utf-8"),
        _record(PAGE, "resource", "metadata://x/", "Content-Type: text/plain"),
        _record(b"1.2.3.4", "response", "dns:x", "Content-Type: text/dns"),
        _record(PAGE, "conversion", "http://x/", "Content-Type: text/plain"),
        _record(PAGE, "revisit"),
        _record(PAGE, "invented"),
    )
    assert batch.table["html"].to_pylist() == [PAGE.decode()]
    assert batch.skipped == {
        "type text/plain": 1, "type text/dns": 1, "conversion": 1, "revisit": 1, "unknown": 1
    }  # fmt: skip


def test_the_http_charset_is_used_and_no_nul_comes_out(path: Path) -> None:
    page = "<html><p>Съешь\0 ещё".encode("cp1251")
    batch = _one(path, _record(_response(page, HTML + "; charset=windows-1251")))
    assert batch.table["html"].to_pylist() == ["<html><p>Съешь ещё"]


def test_a_body_that_cannot_be_decoded_is_unread_and_one_that_was_not_coded_is_a_page(path: Path) -> None:
    binary = bytes(range(256)) * 8
    batch = _one(
        path,
        _record(_response(binary, HTML, "Content-Encoding: gzip")),
        _record(_response(PAGE, HTML, "Content-Encoding: gzip", "Transfer-Encoding: chunked")),
        _record(_response(gzip.compress(PAGE), HTML, "Content-Encoding: gzip")),
    )
    assert [(u.row, u.reason) for u in batch.unread] == [(0, "bad_content_encoding")]
    assert batch.table["html"].to_pylist() == [PAGE.decode()] * 2


def test_ids_that_are_made_differ_for_equal_pages_and_do_not_depend_on_compression(path: Path) -> None:
    records = [_record(_response(PAGE, HTML))] * 3
    plain = _one(path, *records).table["id"].to_pylist()
    zipped = _one(path, *map(gzip.compress, records)).table["id"].to_pylist()
    assert len(set(plain)) == 3
    assert plain == zipped


def test_batches_hold_about_batch_bytes_and_their_cut_changes_nothing(path: Path) -> None:
    records = [_record(_response(PAGE + b"x" * n, HTML), "response", f"http://x/{n}") for n in range(100)]
    whole = _one(path, *records)
    batches = _read(path, batch_bytes=500)
    assert len(batches) > 10
    assert max(sum(map(len, b.table["html"].to_pylist())) for b in batches) < 500 + len(PAGE) + 100
    assert [row for b in batches for row in b.table.to_pylist()] == whole.table.to_pylist()


def test_a_page_of_50_mb(path: Path) -> None:
    batch = _one(path, _record(_response(b"<html>" + b"word " * (10 << 20), HTML)))
    assert batch.table["html"].nbytes > 50 << 20


def test_a_page_over_the_limit_is_unread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator.read.warc.MAX_PAGE_BYTES", 1 << 20)
    batch = _one(path, _record(_response(b"<html>" + b"word " * (1 << 18), HTML)))
    assert [u.reason for u in batch.unread] == ["page_too_large"]


def test_a_file_cut_short_raises_after_its_whole_records(path: Path) -> None:
    path.write_bytes((_record(_response(PAGE, HTML)) * 3)[:-20])
    batches = ReadWarc("").read(Part(0, str(path), ""), 1)
    assert next(batches).table.num_rows == 1
    assert next(batches).table.num_rows == 1
    with pytest.raises(BadFile, match="record 2: cut short"):
        next(batches)


def test_any_fsspec_url_is_read(path: Path) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe("/crawl/a.warc.gz", gzip.compress(_record(_response(PAGE, HTML))))
    (batch,) = ReadWarc("").read(Part(0, "memory://crawl/a.warc.gz", "m"), 1 << 20)
    assert batch.table["source"].to_pylist() == ["m"]


def test_importing_the_reader_loads_no_heavy_library() -> None:
    code = "import curator.read.warc, sys; print({'pyarrow', 'pandas', 'fastwarc', 'fsspec'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


# documents, and what was skipped; the other records of each real file were counted by fastwarc
REAL = {
    "aut__example.warc.gz": 94,
    "chatnoir-resiliparse__warcfile.warc.gz": 16,
    "dolma__sample-0000.warc.gz": 22,
    "jwarc__cc.warc.gz": 1,
    "made__articles.warc.gz": 86,
    "warcio__example-iana.org-chunked.warc": 1,
    "warcio__example.warc": 1,
    "warcio__example.warc.gz": 1,
    "warcio__post-test.warc.gz": 0,
    "webarchive-commons__IAH-urls-wget.warc.gz": 2,
    "whirlwind-python__whirlwind.warc.gz": 1,
    "whirlwind-python__whirlwind.warc.wat.gz": 0,
    "whirlwind-python__whirlwind.warc.wet.gz": 0,
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_every_record_of_a_real_file_is_accounted_for(shared: Path, name: str) -> None:
    path = shared / "data/warc" / name
    with path.open("rb") as stream:
        records = sum(1 for _ in ArchiveIterator(io.BytesIO(stream.read()), parse_http=False))
    batches = _read(path)
    skipped = sum((batch.skipped for batch in batches), Counter[str]())
    documents = sum(batch.table.num_rows for batch in batches)
    unread = sum(len(batch.unread) for batch in batches)
    assert documents == REAL[name]
    assert documents + unread + skipped.total() == records


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_every_page_by_its_http_header_is_read(shared: Path, name: str) -> None:
    """datatrove 0.10.1 asks libmagic instead, and loses XHTML without a word."""
    path = shared / "data/warc" / name
    with path.open("rb") as stream:
        pages = [
            record.headers.get("WARC-Target-URI", "").strip("<>")
            for record in ArchiveIterator(io.BytesIO(stream.read()), parse_http=True)
            if record.headers.get("WARC-Type") == "response"
            and record.is_http
            and 200 <= (record.http_headers.status_code or 0) <= 299
            and "html" in (record.http_content_type or "")
        ]
    assert [url for batch in _read(path) for url in batch.table["url"].to_pylist()] == pages


@pytest.mark.realdata
def test_a_real_arc_is_read(shared: Path) -> None:
    batch = _read(shared / "data/warc/warcio__example.arc.gz")[0]
    assert batch.table["url"].to_pylist() == ["http://example.com/"]
    assert batch.skipped == {"filedesc": 1}
