"""A table's bytes do not depend on how its rows came in."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from millrace import storage, tables
from tests.millrace.test_storage import fail_after

SCHEMA = pa.schema(
    [
        ("doc_id", pa.uint64()),
        ("text", pa.large_string()),
        ("lang", pa.large_string()),
        ("tokens", pa.large_list(pa.uint32())),
        ("flag", pa.bool_()),
    ]
)


def made(rows: int) -> pa.Table:
    """Rows of uneven size, with nulls and empty values; the first half small, so that groups fill by rows there."""
    rng = np.random.default_rng(5)
    sizes = [*rng.integers(0, 8, rows // 2).tolist(), *rng.integers(0, 90, rows - rows // 2).tolist()]
    return pa.table(
        {
            "doc_id": list(range(rows)),
            "text": [None if n == 7 else "ü" * n for n in sizes],
            "lang": [("en", "de", None)[n % 3] for n in sizes],
            "tokens": [list(range(n // 3)) for n in sizes],
            "flag": [n % 2 == 0 for n in sizes],
        },
        SCHEMA,
    )


def written(path: Path, pieces: list[pa.Table]) -> bytes:
    with tables.writing_table(str(path), SCHEMA) as writer:
        for piece in pieces:
            writer.write(piece)
    content = path.read_bytes()
    assert writer.rows == sum(map(len, pieces))
    assert writer.checksum == {"bytes": len(content), "xxh3": xxhash.xxh3_128_hexdigest(content)}
    assert tables.checksum(str(path)) == writer.checksum
    return content


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a small table reaches: both of them, at different rows."""
    monkeypatch.setattr(tables, "GROUP_ROWS", 23)
    monkeypatch.setattr(tables, "GROUP_BYTES", 1500)


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("seed", range(12))
def test_cuts_change_no_byte(tmp_path, seed):
    table = made(200)
    whole = written(tmp_path / "whole.parquet", [table])
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, len(table) + 1, [1, 3, 40, 199][seed % 4])).tolist()
    pieces = [table[a:b] for a, b in zip([0, *cuts], [*cuts, len(table)])]
    if seed % 2:  # rows that lie in chunks, and away from the start of their buffers
        pieces = [pa.concat_tables([piece[: len(piece) // 2], piece[len(piece) // 2 :]]) for piece in pieces]
    assert written(tmp_path / "cut.parquet", pieces) == whole
    assert pq.read_table(tmp_path / "cut.parquet").equals(table)
    written(tmp_path / "cut.arrow", pieces)
    assert tables.read_table(str(tmp_path / "cut.arrow")).equals(table)


@pytest.mark.usefixtures("small_groups")
def test_row_groups_are_cut_by_rows_and_by_bytes(tmp_path):
    table = made(200)
    written(tmp_path / "x.parquet", [table])
    file = pq.ParquetFile(tmp_path / "x.parquet")
    heights = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
    assert sum(heights) == 200
    assert max(heights) <= 23
    start = 0
    for height in heights[:-1]:  # a group ends with the row that fills it
        assert height == 23 or tables._row_bytes(table[start : start + height]).sum() >= 1500
        assert tables._row_bytes(table[start : start + height - 1]).sum() < 1500
        start += height
    assert 23 in heights
    assert min(heights[:-1]) < 23


def test_row_bytes_against_the_values():
    table = made(50)
    for start in (0, 13):
        wanted = [
            8 + len((row["text"] or "").encode()) + len(row["lang"] or "") + 4 * len(row["tokens"]) + 1
            for row in table[start:].to_pylist()
        ]
        assert tables._row_bytes(table[start:]).tolist() == wanted


def test_row_bytes_of_lists_of_strings():
    lists = pa.array([["a", "üü", None], [], None, ["bcd"], [""]], pa.large_list(pa.large_string()))
    table = pa.table({"kinds": lists})
    assert [tables._row_bytes(table[start:]).tolist() for start in (0, 3)] == [[5, 0, 0, 3, 0], [3, 0]]
    assert tables._row_bytes(table[:0]).tolist() == []


def test_columns_are_put_in_order_and_cast(tmp_path):
    with tables.writing_table(
        str(tmp_path / "x.parquet"), pa.schema([("a", pa.int64()), ("b", pa.float32())])
    ) as writer:
        writer.write(pa.table({"c": ["x"], "b": [1.5], "a": pa.array([1], pa.int8())}))
    assert tables.read_table(str(tmp_path / "x.parquet")).to_pylist() == [{"a": 1, "b": 1.5}]
    assert tables.read_table(str(tmp_path / "x.parquet"), ["b"]).column_names == ["b"]


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_a_table_without_rows_keeps_its_columns(tmp_path, ending):
    url = str(tmp_path / f"x{ending}")
    assert tables.write_table(url, SCHEMA.empty_table()) == tables.checksum(url)
    assert tables.read_table(url).schema == SCHEMA
    assert len(tables.read_table(url)) == 0


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_a_block_that_fails_leaves_no_file(tmp_path, ending):
    url = str(tmp_path / f"x{ending}")
    for error in (KeyError, KeyboardInterrupt):
        with pytest.raises(error), tables.writing_table(url, SCHEMA) as writer:
            fail_after(writer.write, made(30), error)
        assert not storage.exists(url)


@pytest.mark.parametrize("ending", [".parquet", ".arrow"])
def test_an_object_store_gets_the_same_bytes(tmp_path, ending):
    tables.write_table(str(tmp_path / f"x{ending}"), made(100))
    tables.write_table(f"memory://tables/x{ending}", made(100))
    assert storage.read_bytes(f"memory://tables/x{ending}") == (tmp_path / f"x{ending}").read_bytes()
    assert tables.read_table(f"memory://tables/x{ending}", ["text"]).equals(made(100).select(["text"]))


def test_files_say_nothing_of_pandas(tmp_path):
    """What a reader other than ours would trip over, or what would change with a version of pandas."""
    tables.write_table(str(tmp_path / "x.parquet"), made(5))
    assert b"pandas" not in (tmp_path / "x.parquet").read_bytes()


def test_two_writes_give_the_same_hash(tmp_path):
    digests = set()
    for name in ("a.parquet", "b.parquet"):
        tables.write_table(str(tmp_path / name), made(500))
        digests.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(digests) == 1
