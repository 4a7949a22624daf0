"""Records of archives: all of them, or BadFile."""

import gzip
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from curator.errors import BadFile
from curator.read.arc import records


def _warc(*blocks: bytes) -> list[bytes]:
    return [
        b"WARC/1.0\r\nWARC-Type: resource\r\nContent-Length: %d\r\n\r\n%s\r\n\r\n" % (len(block), block)
        for block in blocks
    ]


def _arc(*blocks: bytes) -> list[bytes]:
    first = b"1 0 Test\nURL IP-address Archive-date Content-type Archive-length\n\n"
    members = [b"filedesc://x.arc 0.0.0.0 20140216050221 text/plain %d\n%s" % (len(first), first)]
    return members + [b"http://x/a b 1.2.3.4 20140216050221 text/html %d\n%s\n" % (len(b), b) for b in blocks]


# what cannot be compressed, and is larger than all buffers, so that errors come while blocks are read
NOISE = hashlib.shake_128(b"seed").digest(5 << 20)
BLOCKS = (b"first " * 30, b"second", b"third " * 5000)
FORMATS = {
    "warc": _warc(*BLOCKS),
    "warc.gz": [gzip.compress(member) for member in _warc(*BLOCKS)],
    "warc.zst": [pa.compress(member, "zstd", asbytes=True) for member in _warc(*BLOCKS)],
    "arc": _arc(*BLOCKS),
    "arc.gz": [gzip.compress(member) for member in _arc(*BLOCKS)],
}


def _blocks(data: bytes) -> list[bytes]:
    return [record.read(1 << 30) for record in records(io.BytesIO(data)) if record.kind != "filedesc"]


@pytest.mark.parametrize("kind", FORMATS)
def test_every_record_is_read_whole(kind: str) -> None:
    assert _blocks(b"".join(FORMATS[kind])) == list(BLOCKS)


def test_a_block_that_nobody_reads_is_passed_over() -> None:
    for kind in FORMATS:
        assert len(list(records(io.BytesIO(b"".join(FORMATS[kind]))))) == len(FORMATS[kind])


def test_a_gzip_of_the_whole_file_reads_as_one_of_each_record() -> None:
    assert _blocks(gzip.compress(b"".join(FORMATS["warc"]))) == list(BLOCKS)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_cut_is_noticed_but_those_between_records(kind: str) -> None:
    members = FORMATS[kind]
    data = b"".join(members)
    ends = [sum(map(len, members[: n + 1])) for n in range(len(members))]
    # the empty lines after a record of a plain file say nothing
    lines = {"warc": 4, "arc": 1}.get(kind, 0)
    harmless = {end - less for end in ends for less in range(lines + 1)}
    if kind == "arc":  # its first record ends in empty lines, which nobody reads
        harmless |= {ends[0] - 2}
    near_ends = {end + near for end in ends for near in range(-12, 80)}
    for cut in sorted({*range(1, len(data), 7), *near_ends} - harmless):
        if cut < len(data):
            with pytest.raises(BadFile):
                _blocks(data[:cut])


@pytest.mark.parametrize("kind", FORMATS)
def test_garbage_after_the_last_record_is_noticed(kind: str) -> None:
    with pytest.raises(BadFile):
        _blocks(b"".join(FORMATS[kind]) + b"garbage" * 10)


@pytest.mark.parametrize(
    ("make", "compress"),
    [
        (_warc, gzip.compress),
        (_warc, lambda data: pa.compress(data, "zstd", asbytes=True)),
        (_warc, bytes),
        (_arc, gzip.compress),
        (_arc, bytes),
    ],
)
def test_a_large_block_cut_short_is_noticed_while_it_is_read(
    make: Callable[..., list[bytes]], compress: Callable[[bytes], bytes]
) -> None:
    data = compress(b"".join(make(b"first", NOISE)))
    with pytest.raises(BadFile):
        _blocks(data[: len(data) // 2])


@pytest.mark.parametrize("kind", ["warc.gz", "arc.gz"])  # zstd has no checksum, unless asked for
def test_a_changed_byte_is_noticed(kind: str) -> None:
    data = bytearray(b"".join(FORMATS[kind]))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(BadFile):
        _blocks(bytes(data))


@pytest.mark.parametrize("data", [b"", gzip.compress(b"", mtime=0)])
def test_a_file_without_records_is_bad(data: bytes) -> None:
    with pytest.raises(BadFile, match="empty file"):
        _blocks(data)


@pytest.mark.parametrize("data", [b"<html>", gzip.compress(b"hello", mtime=0), b"PK\x03\x04", b"\n\nWARCS"])
def test_another_kind_of_file_is_bad(data: bytes) -> None:
    with pytest.raises(BadFile, match="not a WARC or ARC file"):
        _blocks(data)


def test_zeros_that_pad_a_gzip_file_are_no_garbage() -> None:
    assert _blocks(b"".join(FORMATS["warc.gz"]) + bytes(512)) == list(BLOCKS)


@pytest.mark.realdata
def test_a_real_arc(shared: Path) -> None:
    with (shared / "data/warc/warcio__example.arc.gz").open("rb") as stream:
        first, page = [(record.kind, record.url, record.read(1 << 20)) for record in records(stream)]
    assert first[:2] == ("filedesc", "filedesc://live-web-example.arc.gz")
    assert page[:2] == ("response", "http://example.com/")
    assert len(page[2]) == 1591
