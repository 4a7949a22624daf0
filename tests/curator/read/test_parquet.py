"""ReadParquet: ids, row groups as parts, evidence for what cannot be read, and damaged files."""

import random

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.errors import BadFile
from curator.read.parquet import ReadParquet
from curator.schema import arrow_schema
from curator.stage import Part


def write(folder, columns, **options):
    path = str(folder / "a.parquet")
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)
    return path


def read(url, split=None, batch_bytes=1 << 20, number=3, **fields):
    reader = ReadParquet(url, **fields)
    batches = list(reader.read(Part(number, url, "web", split), batch_bytes))
    for batch in batches:
        assert batch.table.schema.equals(arrow_schema(dict(reader.writes)))
        batch.table.validate(full=True)
    return [row for b in batches for row in b.table.to_pylist()], [u for b in batches for u in b.unread]


def test_columns_and_ids(tmp_path):
    url = write(
        tmp_path,
        {
            "id": ["one", None, "", "four"],
            "url": ["http://a", "http://b", None, None],
            "text": ["a", "", "c", "d"],
        },
    )
    rows, unread = read(url)
    assert unread == []
    assert [row["doc_id"] for row in rows] == [3 << 32 | i for i in range(4)]
    assert [row["id"] for row in rows] == [
        "one",
        xxhash.xxh3_128_hexdigest(b"http://b"),
        xxhash.xxh3_128_hexdigest(f"{url}#2".encode()),
        "four",
    ]
    assert [row["url"] for row in rows] == ["http://a", "http://b", "", ""]
    assert [row["text"] for row in rows] == ["a", "", "c", "d"]
    assert {row["source"] for row in rows} == {"web"}


@pytest.mark.parametrize("kind", [pa.int32(), pa.uint64(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_ids_of_every_type(tmp_path, kind):
    ids = (
        pa.array([7, 8], pa.int64()).cast(pa.string()).cast(kind)
        if not pa.types.is_dictionary(kind)
        else pa.array(["7", "8"], kind)
    )
    rows, _ = read(write(tmp_path, {"text": ["a", "b"], "id": ids}))
    assert [row["id"] for row in rows] == ["7", "8"]


def test_an_id_that_is_no_id_is_made(tmp_path):
    url = write(tmp_path, {"text": ["a"], "id": [1.5]})
    assert read(url)[0][0]["id"] == xxhash.xxh3_128_hexdigest(f"{url}#0".encode())


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.dictionary(pa.int8(), pa.string())],
)
def test_text_of_every_type(tmp_path, kind):
    text = pa.array(["é", None, "é", ""], pa.string())
    text = text.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else text.cast(kind)
    rows, unread = read(write(tmp_path, {"text": text}))
    assert [row["text"] for row in rows] == ["é", "é", ""]
    assert [(u.row, u.reason) for u in unread] == [(1, "missing_text")]


def test_text_that_is_not_utf8_goes_to_the_ledger(tmp_path):
    offsets = pa.py_buffer(np.array([0, 1, 3, 4], np.int32))
    text = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"a\xff\xfeb"))
    url = write(tmp_path, {"text": text, "id": ["x", "y", "z"], "url": ["1", "2", "3"]})
    rows, (unread,) = read(url)
    assert [row["text"] for row in rows] == ["a", "b"]
    assert (unread.row, unread.id, unread.url, unread.reason) == (1, "y", "2", "invalid_utf8")


def test_kept_columns(tmp_path):
    columns = {"text": ["a", "b"], "score": pa.array([1, None], pa.int16()), "tags": [["x"], []]}
    rows, _ = read(write(tmp_path, columns), keep=("score:float64", "tags:list<string>"))
    assert [(row["score"], row["tags"]) for row in rows] == [(1.0, ["x"]), (None, [])]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "txt"}, "no column txt. Did you mean text.* Columns: text, n"),
        ({"text": "n"}, "column n is int64; expected string"),
        ({"keep": ("score:float64",)}, "no column score"),
        ({"keep": ("text2:int64",), "text": "n"}, "no column text2"),
        ({"keep": ("n:list<string>",)}, "column n is int64, not list<string>"),
    ],
)
def test_columns_that_do_not_fit_are_named(tmp_path, fields, message):
    with pytest.raises(BadFile, match=message):
        read(write(tmp_path, {"text": ["a"], "n": [1]}), **fields)


def test_text_is_not_copied(tmp_path):
    url = write(tmp_path, {"text": ["x" * 1000] * 2000, "id": list(range(2000))}, use_dictionary=False)
    before = pa.total_allocated_bytes()
    (batch,) = ReadParquet(url).read(Part(0, url, "s"), 1 << 30)
    assert pa.total_allocated_bytes() - before < 1.6 * batch.table["text"].nbytes


@given(st.integers(1, 9), st.integers(1, 40), st.booleans())
@settings(max_examples=40)
def test_splitting_a_file_changes_nothing(tmp_path_factory, height, batch_bytes, has_ids):
    texts = [None if i % 5 == 4 else "x" * (i % 7) for i in range(23)]
    columns = {"text": texts} | ({"id": list(range(23))} if has_ids else {})
    url = write(tmp_path_factory.mktemp("split"), columns, row_group_size=height)
    groups = pq.ParquetFile(url).num_row_groups
    rows, unread = read(url)
    parts = [read(url, (i, i + 1), batch_bytes, number=i) for i in range(groups)]
    assert [(r["id"], r["text"]) for p in parts for r in p[0]] == [(r["id"], r["text"]) for r in rows]
    assert [(u.id, u.reason) for p in parts for u in p[1]] == [(u.id, u.reason) for u in unread]
    for i, (some, others) in enumerate(parts):
        own = sorted([r["doc_id"] for r in some] + [i << 32 | u.row for u in others])
        assert own == [i << 32 | n for n in range(len(own))]
    assert read(url, batch_bytes=batch_bytes) == (rows, unread)


def test_splits_are_row_groups_of_about_part_mb(tmp_path):
    dice = random.Random(0)
    texts = [dice.randbytes(200_000).hex() for _ in range(12)]  # 0.4 MB each
    options = {"row_group_size": 1, "compression": "none", "use_dictionary": False}
    url = write(tmp_path, {"text": texts}, **options)
    assert ReadParquet(url, part_mb=1).splits(url, 0) == [(0, 2), (2, 5), (5, 7), (7, 10), (10, 12)]  # of 4.8 MB
    assert ReadParquet(url, part_mb=64).splits(url, 0) == [None]


def test_batches_are_bounded(tmp_path):
    url = write(tmp_path, {"text": ["x" * n for n in (10, 5000, 10, 10, 400, 600)]})
    batches = list(ReadParquet(url).read(Part(0, url, "s"), 1000))
    assert all(b.table.num_rows == 1 or sum(map(len, b.table["text"].to_pylist())) <= 1000 for b in batches)
    assert sum(b.table.num_rows for b in batches) == 6


def test_no_rows_are_no_error(tmp_path):
    assert read(write(tmp_path, {"text": pa.array([], pa.string())})) == ([], [])


def test_damaged_files_are_bad_and_still_have_a_part(tmp_path):
    url = write(tmp_path, {"text": [f"text {i}" for i in range(5000)]})
    whole = (tmp_path / "a.parquet").read_bytes()
    damaged = {
        "empty": b"",
        "text": b"not parquet, plain text",
        "cut": whole[:-100],
        "footer": whole[:-60] + b"\xff" * 52 + whole[-8:],
    }
    for name, content in damaged.items():
        (tmp_path / "a.parquet").write_bytes(content)
        assert ReadParquet(url).splits(url, len(content)) == [None], name
        with pytest.raises(BadFile, match="empty file" if name == "empty" else "cannot be read"):
            read(url)


def test_damaged_pages_are_bad_or_harmless(tmp_path):
    url = write(
        tmp_path,
        {"text": [f"text {i} " * 9 for i in range(3000)]},
        write_page_checksum=True,
        compression="zstd",
    )
    whole = bytearray((tmp_path / "a.parquet").read_bytes())
    dice = random.Random(0)
    for _ in range(40):
        content = bytearray(whole)
        content[dice.randrange(4, len(whole) // 2)] ^= 0xFF
        (tmp_path / "a.parquet").write_bytes(content)
        with pytest.raises(BadFile, match="cannot be read"):
            read(url)


def test_an_absent_file_is_bad(tmp_path):
    with pytest.raises(BadFile, match="No such file"):
        read(str(tmp_path / "no.parquet"))


def test_other_file_systems(tmp_path):
    url = write(tmp_path, {"text": ["a", "b"]}, row_group_size=1)
    with fsspec.open("memory://parquet/a.parquet", "wb") as stream:
        stream.write((tmp_path / "a.parquet").read_bytes())
    rows, _ = read("memory://parquet/a.parquet", split=(1, 2))
    assert [row["text"] for row in rows] == ["b"]
    assert len(read(url)[0]) == 2
