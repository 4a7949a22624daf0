"""ReadJsonl: ids, parts, evidence for what cannot be read, and damaged files."""

import bz2
import gzip
import json
import lzma
from collections import Counter
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import BadFile, SpecError
from curator.read.jsonl import ReadJsonl
from curator.schema import arrow_schema
from curator.stage import Part


def zstd(content):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


COMPRESS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


def write(folder, content, name="a.jsonl"):
    path = Path(folder) / name
    path.write_bytes(content if isinstance(content, bytes) else "".join(json.dumps(r) + "\n" for r in content).encode())
    return str(path)


def read(url, split=None, batch_bytes=1 << 20, number=3, **fields):
    reader = ReadJsonl(url, **fields)
    batches = list(reader.read(Part(number, url, "web", split), batch_bytes))
    for batch in batches:
        assert batch.table.schema.equals(arrow_schema(dict(reader.writes)))
        batch.table.validate(full=True)
    rows = [row for batch in batches for row in batch.table.to_pylist()]
    return rows, [u for b in batches for u in b.unread], sum((b.skipped for b in batches), Counter())


def test_columns_and_ids(tmp_path):
    url = write(
        tmp_path,
        [
            {"id": "one", "url": "http://a", "text": "first", "more": 1},
            {"id": 17, "text": ""},
            {"id": "", "url": "http://b", "text": "third"},
            {"id": True, "url": None, "text": "fourth"},
            {"id": 2**70, "text": "fifth"},
        ],
    )
    rows, unread, _ = read(url)
    assert unread == []
    assert [row["doc_id"] for row in rows] == [3 << 32 | i for i in range(5)]
    at = Path(url).read_bytes().index(b'{"id": true')
    assert [row["id"] for row in rows] == [
        "one",
        "17",
        xxhash.xxh3_128_hexdigest(b"http://b"),
        xxhash.xxh3_128_hexdigest(f"{url}#{at}".encode()),
        str(2**70),
    ]
    assert [row["url"] for row in rows] == ["http://a", "", "http://b", "", ""]
    assert {row["source"] for row in rows} == {"web"}
    assert [row["text"] for row in rows] == ["first", "", "third", "fourth", "fifth"]


def test_renamed_fields_and_kept_ones(tmp_path):
    url = write(tmp_path, [{"key": "k", "content": "t", "link": "u", "score": 2, "tags": ["a"]}, {"content": "s"}])
    keep = ("score:float64", "tags:list<string>")
    reader = ReadJsonl(url, text="content", id="key", url="link", keep=keep)
    (batch,) = reader.read(Part(3, url, "web"), 1 << 20)
    rows = batch.table.to_pylist()
    assert rows[0] == {
        "doc_id": 3 << 32, "id": "k", "source": "web", "url": "u", "text": "t", "score": 2.0, "tags": ["a"]
    }  # fmt: skip
    assert (rows[1]["score"], rows[1]["tags"]) == (None, None)


def test_a_kept_field_of_another_type_goes_to_the_ledger(tmp_path):
    url = write(tmp_path, [{"id": "x", "text": "t", "score": "high"}, {"id": "y", "text": "t", "score": None}])
    rows, (unread,), _ = read(url, keep=("score:float64",))
    assert [row["id"] for row in rows] == ["y"]
    assert (unread.row, unread.id, unread.reason) == (0, "x", "wrong_type")
    assert unread.detail == "score is str high; expected float64"


BROKEN = [
    (b'{"text": "a"', "broken_json", "of the line: Expecting ',' delimiter"),
    (b"[1, 2]", "broken_json", "expected an object, not list"),
    (b"null", "broken_json", "expected an object, not NoneType"),
    (b"[" * 100_000, "broken_json", "recursion"),
    (b'{"n": ' + b"9" * 5000 + b"}", "broken_json", "4300 digits"),
    (b'{"text": "\xff"}', "invalid_utf8", "byte 10 of the line: invalid start byte"),
    (b'{"text": "\xed\xa0\x80"}', "invalid_utf8", "byte 10"),
    (b'{"txt": "a"}', "missing_text", "no field text; fields: txt"),
    (b'{"text": null}', "missing_text", "text is NoneType; expected a string"),
    (b'{"text": ["a"]}', "missing_text", "text is list; expected a string"),
]


@pytest.mark.parametrize(("line", "reason", "detail"), BROKEN, ids=lambda value: str(value)[:20])
def test_a_line_that_cannot_be_read_has_evidence(tmp_path, line, reason, detail):
    url = write(tmp_path, b'{"text": "before"}\n' + line + b'\n{"text": "after"}\n')
    rows, (unread,), _ = read(url)
    assert [(row["doc_id"] & 0xFFFFFFFF, row["text"]) for row in rows] == [(0, "before"), (2, "after")]
    assert (unread.row, unread.reason) == (1, reason)
    assert detail in unread.detail
    assert unread.id == xxhash.xxh3_128_hexdigest(f"{url}#19".encode())


def test_an_unread_document_keeps_its_id_and_url(tmp_path):
    _, (unread,), _ = read(write(tmp_path, [{"id": 5, "url": "http://a"}]))
    assert (unread.id, unread.url) == ("5", "http://a")


def test_blank_lines_are_counted_and_take_no_row(tmp_path):
    url = write(tmp_path, b'\n{"text": "a"}\r\n  \r\n\n{"text": "b"}')
    rows, _, skipped = read(url)
    assert [row["doc_id"] & 0xFFFFFFFF for row in rows] == [0, 1]
    assert skipped == {"blank line": 3}


def test_surrogates_never_reach_arrow(tmp_path):
    line = rb'{"id": "\uDC00", "text": "a\ud800b \ud83d\ude00", "url": "\udfff", "tags": ["\ud800"]}'
    ((row,), _, _) = read(write(tmp_path, line), keep=("tags:list<string>",))
    assert row["text"] == "a\ufffdb \U0001f600"
    assert (row["id"], row["url"], row["tags"]) == ("\ufffd", "\ufffd", ["\ufffd"])


def test_what_python_reads_is_read(tmp_path):
    rows, unread, _ = read(write(tmp_path, b'\xef\xbb\xbf{"text": "a", "x": NaN, "y": -Infinity, "text": "b"}'))
    assert [row["text"] for row in rows] == ["b"]
    assert unread == []


@pytest.mark.parametrize("ending", COMPRESS)
def test_every_compression_gives_the_same_documents(tmp_path, ending):
    content = b"".join(json.dumps({"id": i, "text": f"text {i} é" * 50}).encode() + b"\n" for i in range(2000))
    half = content.index(b"\n", len(content) // 2) + 1  # two members, as `cat a.gz b.gz` makes
    url = write(tmp_path, COMPRESS[ending](content[:half]) + COMPRESS[ending](content[half:]), "a.jsonl" + ending)
    rows, unread, _ = read(url, batch_bytes=100_000)
    assert [row["id"] for row in rows] == [str(i) for i in range(2000)]
    assert unread == []
    assert ReadJsonl(url, part_mb=0).splits(url, 10) == [None] if ending else True


@pytest.mark.parametrize("ending", list(COMPRESS)[1:])
def test_a_truncated_file_is_bad(tmp_path, ending):
    content = b"".join(json.dumps({"text": f"{i * 7919 % 1000003}" * 9}).encode() + b"\n" for i in range(5000))
    url = write(tmp_path, COMPRESS[ending](content)[:-500], "a.jsonl" + ending)
    with pytest.raises(BadFile, match=r"cannot be read to its end: ."):
        read(url)


@pytest.mark.parametrize("ending", list(COMPRESS)[1:])
def test_a_file_that_is_not_what_its_name_says_is_bad(tmp_path, ending):
    with pytest.raises(BadFile, match="cannot be read"):
        read(write(tmp_path, b'{"text": "plain"}\n' * 50, "a.jsonl" + ending))


@pytest.mark.parametrize("ending", COMPRESS)
def test_an_empty_file_is_bad(tmp_path, ending):
    for content in (b"", COMPRESS[ending](b"")):
        with pytest.raises(BadFile, match="empty file"):
            read(write(tmp_path, content, "a.jsonl" + ending))


def test_an_absent_file_is_bad(tmp_path):
    with pytest.raises(BadFile, match="No such file"):
        read(str(tmp_path / "no.jsonl"))


lines = st.lists(
    st.sampled_from(["", " ", '{"text": "x"}', "{", '{"text": "é\\n"}', '{"text": 1, "id": 4}']), max_size=12
)


@given(lines, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.integers(1, 40), st.integers(1, 60))
def test_splitting_a_file_changes_nothing(tmp_path_factory, lines, end, ends, step, batch_bytes):
    content = (end.join(lines) + (end if ends else "")).encode()
    if not content:
        return
    url = write(tmp_path_factory.mktemp("split"), content)
    rows, unread, skipped = read(url)
    cut = range(0, len(content), step)
    parts = [read(url, (a, min(a + step, len(content))), batch_bytes, number=n) for n, a in enumerate(cut)]
    assert [r["id"] for part in parts for r in part[0]] == [r["id"] for r in rows]
    assert [r["text"] for part in parts for r in part[0]] == [r["text"] for r in rows]
    assert [(u.id, u.reason, u.detail) for p in parts for u in p[1]] == [(u.id, u.reason, u.detail) for u in unread]
    assert sum((part[2] for part in parts), Counter()) == skipped
    for n, part in enumerate(parts):
        own = sorted([r["doc_id"] for r in part[0]] + [n << 32 | u.row for u in part[1]])
        assert own == [n << 32 | i for i in range(len(own))]
    assert read(url, batch_bytes=batch_bytes) == (rows, unread, skipped)


def test_splits_cover_a_plain_file():
    reader = ReadJsonl("x", part_mb=1)
    assert reader.splits("x.jsonl", 1 << 20) == [None]
    third = 699_053  # of 2 MiB and 5 bytes: equal parts, none over part_mb
    assert reader.splits("x.jsonl", (2 << 20) + 5) == [(0, third), (third, 2 * third), (2 * third, (2 << 20) + 5)]
    assert reader.splits("x.jsonl.GZ", 9 << 20) == [None]


def test_batches_are_bounded(tmp_path):
    url = write(tmp_path, [{"text": "x" * size} for size in (10, 5000, 10, 10, 400, 600)])
    batches = list(ReadJsonl(url).read(Part(0, url, "s"), 1000))
    assert [batch.table["text"].to_pylist() for batch in batches] == [
        ["x" * 10], ["x" * 5000], ["x" * 10, "x" * 10, "x" * 400], ["x" * 600]
    ]  # fmt: skip


def test_other_file_systems():
    with fsspec.open("memory://jsonl/a.jsonl", "wb") as stream:
        stream.write(b'{"text": "a"}\n{"text": "b"}\n')
    rows, _, _ = read("memory://jsonl/a.jsonl", split=(3, 28))
    assert [row["text"] for row in rows] == ["b"]


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (("score",), "'score' must be name:type, such as score:string"),
        (("score:float",), "unknown type float. Did you mean float"),
        (("url:string",), "url is a column already"),
        (("a:int64", "a:int64"), "a is a column already"),
    ],
)
def test_bad_columns_are_refused_before_anything_is_read(keep, message):
    with pytest.raises(SpecError, match=message):
        ReadJsonl("x", keep=keep)


@pytest.mark.realdata
def test_against_json_on_real_files(shared):
    for path in sorted((shared / "data/text_en").glob("*.jsonl*")):
        with fsspec.open(str(path), "rt", encoding="utf8", compression="infer", newline="\n") as stream:
            expected = [json.loads(line)["text"] for line in stream if line.strip()]
        rows, unread, _ = read(str(path), batch_bytes=50_000)
        assert [row["text"] for row in rows] == expected, path
        assert unread == []
