"""ReadConversations: the texts of a record are one document, and the record can be put together again."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import BadFile
from curator.read.conversations import MARK, SEPARATOR, ReadConversations, taken_out
from curator.schema import arrow_schema
from curator.stage import Part

TALK = {
    "id": "one",
    "messages": [{"role": "user", "content": "Which river?"}, {"role": "assistant", "content": "The Loire.\n\nYes."}],
    "label": True,
}
PAIR = {
    "prompt": "Which?",
    "input": "",
    "chosen": {"from": "gpt", "value": "This"},
    "rejected": ["That", 3],
    "note": "kept",
}


def read(url, split=None, batch_bytes=1 << 20, **settings):
    reader = ReadConversations(url, **settings)
    batches = list(reader.read(Part(3, url, "web", split), batch_bytes))
    for batch in batches:
        assert batch.table.schema.equals(arrow_schema(dict(reader.writes)))
    rows = [row for batch in batches for row in batch.table.to_pylist()]
    return rows, [one for batch in batches for one in batch.unread], batches


def together(row):
    texts = row["text"].split(SEPARATOR)
    pieces = {f"{MARK}{n}": text for n, text in enumerate(texts)}

    def filled(value):
        if isinstance(value, list):
            return [filled(one) for one in value]
        if isinstance(value, dict):
            return {name: filled(one) for name, one in value.items()}
        return pieces.pop(value) if isinstance(value, str) and value in pieces else value

    made = filled(json.loads(row["record"]))
    assert not pieces
    return made


def written(folder, ending, records):
    path = folder / f"some{ending}"
    lines = "".join(json.dumps(one) + "\n\n" for one in records).encode()
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path, row_group_size=2)
    else:
        path.write_bytes({".jsonl": lines, ".jsonl.gz": gzip.compress(lines)}.get(ending, json.dumps(records).encode()))
    return str(path)


@pytest.mark.parametrize("ending", [".json", ".jsonl", ".jsonl.gz", ".parquet"])
def test_records_of_every_kind_of_file(tmp_path, ending):
    records = [{**TALK, "id": f"{n}é"} for n in range(5)]
    rows, unread, batches = read(written(tmp_path, ending, records), batch_bytes=200)
    assert len(batches) > 1
    assert not unread
    assert [together(row) for row in rows] == records
    assert {row["text"] for row in rows} == {"Which river?" + SEPARATOR + "The Loire.\n\nYes."}
    assert [(row["id"], row["doc_id"] & 0xFFFFFFFF) for row in rows] == [(f"{n}é", n) for n in range(5)]
    assert sum(batch.skipped.total() for batch in batches) == (5 if "jsonl" in ending else 0)


def test_only_what_is_said_is_text(tmp_path):
    (row,), _, _ = read(written(tmp_path, ".json", [PAIR]))
    assert row["text"].split(SEPARATOR) == ["Which?", "This", "That"]
    assert together(row) == PAIR
    (row,), _, _ = read(written(tmp_path, ".json", [PAIR]), texts=("note",))
    assert row["text"] == "kept"
    assert len(row["id"]) == 32


def test_what_holds_no_text_or_the_mark_goes_to_the_ledger(tmp_path):
    bad = [{"text": "a"}, {"prompt": f"a{MARK}"}, {"prompt": "a", "note": MARK}, 7, {"prompt": " "}]
    rows, unread, _ = read(written(tmp_path, ".json", [*bad, PAIR]))
    assert [one.reason for one in unread] == [
        "missing_text",
        "mark_in_text",
        "mark_in_text",
        "broken_json",
        "missing_text",
    ]
    assert [one.row for one in unread] == [0, 1, 2, 3, 4]
    assert len(rows) == 1
    (tmp_path / "some.jsonl").write_bytes(b'{"prompt": "\\ud800"}\n{"prompt"\n\xff\n')
    rows, unread, _ = read(str(tmp_path / "some.jsonl"))
    assert rows[0]["text"] == "\ufffd"
    assert [one.reason for one in unread] == ["broken_json", "invalid_utf8"]


@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_parts_hold_every_record_once(tmp_path, ending, monkeypatch):
    records = [{"id": str(n), "prompt": "word " * 40000, "response": str(n)} for n in range(12)]
    url = written(tmp_path, ending, records)
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), url, row_group_size=2, compression="none", use_dictionary=False)
    splits = ReadConversations(url, part_mb=1).splits(url, (tmp_path / f"some{ending}").stat().st_size)
    assert len(splits) > 1
    assert sorted(row["id"] for split in splits for row in read(url, split)[0]) == sorted(str(n) for n in range(12))


def test_an_array_is_one_part(tmp_path):
    url = written(tmp_path, ".json", [{"prompt": "word " * 40000} for _ in range(12)])
    assert ReadConversations(url, part_mb=1).splits(url, 3 << 20) == [None]


@pytest.mark.parametrize(
    ("name", "content"), [("a.json", b"[{]"), ("a.json", b""), ("a.jsonl.gz", b"x"), ("a.parquet", b"PAR1")]
)
def test_damaged_files_are_bad_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFile):
        read(str(tmp_path / name))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_characters=MARK)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["prompt", "chosen"]), values, min_size=1))
def test_taken_apart_and_put_together_is_the_same(record):
    texts = []
    skeleton = taken_out(record, texts)
    if texts:
        assert together({"text": SEPARATOR.join(texts), "record": json.dumps(skeleton)}) == record
