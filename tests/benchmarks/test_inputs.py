"""The cutting of inputs: nothing is lost, and what belongs together stays together."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import filters_library, inputs


def corpus(folder):
    """Four documents, of which 1 and 3 are a planted pair, and 2 and 4 a natural one."""
    pq.write_table(
        pa.table({"id": [1, 2, 3, 4], "text": ["one " * 9, "two ", "three " * 9, "four"]}), folder / "c.parquet"
    )
    pq.write_table(pa.table({"copy_id": [3], "source_id": [1]}), folder / "truth.parquet")
    pq.write_table(pa.table({"id_a": [2], "id_b": [4]}), folder / "natural_pairs.parquet")
    return folder / "c.parquet"


def test_a_slice_takes_duplicates_together(tmp_path):
    for seed in range(4):
        out = inputs.cut_slice(corpus(tmp_path), tmp_path, tmp_path / "s.parquet", megabytes=12e-6, seed=seed)
        assert inputs.corpus(out)["id"].to_pylist() in ([2, 4], [])


def test_copies_of_a_corpus_have_other_ids_and_other_words(tmp_path):
    folder = inputs.cut_parquet(corpus(tmp_path), tmp_path / "files", 2, copies=3)
    tables = [inputs.corpus(path) for path in sorted(folder.iterdir())]
    assert len(tables) == 6
    ids = [name for table in tables for name in table["id"].to_pylist()]
    assert len(set(ids)) == 12
    assert tables[2]["text"][0].as_py() == "onez " * 9


def test_a_warc_is_cut_record_by_record(tmp_path):
    head = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 5\r\n\r\n"
    head += b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=x\r\n\r\n"
    records = [head + str(number).encode() * 100_000 + b"\r\n\r\n" for number in range(5)]
    path = tmp_path / "a.warc.gz"
    path.write_bytes(b"".join(map(gzip.compress, [b"WARC/1.0\r\nWARC-Type: warcinfo\r\n\r\n", *records])))
    bare = inputs.cut_warc(path, tmp_path / "bare", 2, typed=False)
    assert [gzip.decompress(f.read_bytes()) for f in sorted(bare.iterdir())] == [
        b"".join(records[::2]), b"".join(records[1::2])
    ]  # fmt: skip
    typed = inputs.cut_warc(path, tmp_path / "typed", 1, every=2)
    whole = gzip.decompress((typed / "pages-00.warc.gz").read_bytes())
    assert whole.count(b"\r\nWARC-Identified-Payload-Type: text/html\r\n\r\nHTTP") == 3


def test_a_decision_that_differs_is_reported_with_both_reasons():
    ours = {
        "reasons": [["", "few_words"], ["duplicate_lines", ""], ["", ""], ["lorem_ipsum", ""], ["", "curly_bracket"]],
        "left": ["a", "b"],
    }
    peer = {
        "reasons": [["", "gopher_short_doc"], ["dup_para_frac", "empty"], ["", ""], ["curly_bracket", ""], ["", ""]],
        "left": ["x", "y"],
    }
    assert filters_library.mismatches(ours, peer) == [
        [], [(0, "duplicate_lines", "dup_para_frac"), (1, "", "empty")], [], [],
        [(1, "curly_bracket", ""), (0, "the text that is left", "")],
    ]  # fmt: skip


def test_json_lines_hold_the_same_documents(tmp_path):
    source = inputs.cut_parquet(corpus(tmp_path), tmp_path / "files", 2)
    folder = inputs.cut_jsonl(source, tmp_path / "lines")
    rows = [json.loads(line) for path in sorted(folder.iterdir()) for line in path.read_text("utf-8").splitlines()]
    assert rows == [row for path in sorted(source.iterdir()) for row in inputs.corpus(path).to_pylist()]
    assert len(rows) == 4
