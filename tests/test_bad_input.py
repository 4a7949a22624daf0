"""Bad input and bad requests through the command line: one line that helps, and nothing of the rest is lost."""

from __future__ import annotations

import gzip
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from millrace import storage
from pipelines.cli import main
from tests.corpus import documents, write_jsonl, write_parts
from tests.laws.test_run_laws import content

ROOT = Path(__file__).parents[1]
PAGE = "<html><body><main><p>{}</p></main></body></html>"
# A recipe for each kind of input that reads and writes what every document needs, and no more.
TEXT = "[{ReadJsonl: {path: []}}, ExactDedup]"
TABLE = "[{ReadParquet: {path: []}}, ExactDedup]"
PAGES = "[{ReadWarc: {path: []}}, {ExtractHtml: {engine: resiliparse}}, ExactDedup]"


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    def says(self, *words: str) -> Said:
        """Check that all words are there, and that nothing looks like an error of ours."""
        assert "Traceback" not in self.err
        assert "an error of millrace" not in self.err
        for word in words:
            assert word in self.err, (word, self.err)
        return self

    def refuses(self, code: int, *words: str, after_work: bool = False) -> Said:
        """Check for one line of error, the last, and the only one where no work was begun."""
        lines = self.err.strip().splitlines()
        assert self.code == code, self
        assert lines[-1].startswith("millrace: "), self
        assert [line.startswith("millrace: ") for line in lines].count(True) == 1, self
        assert after_work or len(lines) == 1, self
        return self.says(*words)


@pytest.fixture
def millrace(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command line in this process."""

    def call(*arguments: Any) -> Said:
        capsys.readouterr()
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as exit:  # how argparse ends
            code = int(exit.code or 0)
        return Said(code, *capsys.readouterr())

    return call


@pytest.fixture
def curate(millrace: Callable[..., Said], tmp_path: Path) -> Callable[..., Said]:
    """Run a recipe, given as YAML, on inputs, to tmp_path/run."""

    def call(recipe: str, *inputs: Any, output: Any = None, options: tuple[Any, ...] = ()) -> Said:
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe)
        given = ("--input", *inputs) if inputs else ()
        return millrace(
            "curate", path, *given, "--output", output or tmp_path / "run", "--workers", 0, "--device", "cpu", *options
        )

    return call


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [row for path in sorted((folder / kind).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


def assert_nothing_is_lost(folder: Path, ids: list[str]) -> dict[str, str]:
    """Every document was kept or dropped, once; returns the reasons of the dropped ones."""
    kept, dropped = rows(folder, "documents"), rows(folder, "ledger")
    assert sorted(row["id"] for row in kept + dropped) == sorted(ids)
    summary = storage.read_json(str(folder / "run.json"))
    assert (summary["read"], summary["documents"]) == (len(ids), len(kept))
    assert sum(sum(stage["rejected"].values()) for stage in summary["stages"]) == len(dropped)
    return {row["id"]: row["reason"] for row in dropped}


def ids_of(records: list[dict[str, Any]]) -> list[str]:
    return [record["id"] for record in records]


def warc(*pages: tuple[str, bytes]) -> bytes:
    """A WARC file of (id, stored HTTP response) records, each its own gzip member, as Common Crawl has it."""
    members = []
    for name, response in pages:
        head = (
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <{name}>\r\nWARC-Target-URI: http://x/{name}\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(response)}\r\n\r\n"
        )
        members.append(gzip.compress(head.encode() + response + b"\r\n\r\n", mtime=0))
    return b"".join(members)


def response(body: bytes, *fields: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", "Content-Type: text/html", *fields]).encode() + b"\r\n\r\n" + body


def page(text: str) -> bytes:
    return PAGE.format(text).encode()


@pytest.fixture
def good(tmp_path: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A good file and its records."""
    records = documents(40, seed=2)
    return write_jsonl(tmp_path / "good.jsonl", records), records


@pytest.fixture
def good_warc(tmp_path: Path) -> tuple[Path, list[str]]:
    """A good WARC file and the ids of its pages."""
    path = tmp_path / "good.warc.gz"
    path.write_bytes(warc(*((f"good-{i}", response(page(f"page {i} is a good page"))) for i in range(5))))
    return path, [f"good-{i}" for i in range(5)]


# Files that cannot be read


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_truncated_gzip_file_is_quarantined_and_the_others_are_read(curate, good, tmp_path, keep):
    whole = write_jsonl(tmp_path / "cut.jsonl.gz", documents(60, seed=8)).read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: int(len(whole) * keep)])
    curate(TEXT, good[0], tmp_path / "cut.jsonl.gz").says("quarantined", "cut.jsonl.gz", "ended before")
    assert_nothing_is_lost(tmp_path / "run", ids_of(good[1]))
    summary = storage.read_json(str(tmp_path / "run/run.json"))
    assert [bad["file"] for bad in summary["quarantined"]] == [str(tmp_path / "cut.jsonl.gz")]


def test_a_truncated_warc_file_is_quarantined_and_the_others_are_read(curate, good_warc, tmp_path):
    (tmp_path / "cut.warc.gz").write_bytes(good_warc[0].read_bytes()[:-40])
    said = curate(PAGES, good_warc[0], tmp_path / "cut.warc.gz")
    assert said.says("quarantined", "cut.warc.gz").code == 3
    assert_nothing_is_lost(tmp_path / "run", good_warc[1])


@pytest.mark.parametrize(
    ("recipe", "name"), [(TEXT, "x.jsonl.gz"), (TEXT, "x.jsonl.zst"), (TABLE, "x.parquet"), (PAGES, "x.warc")]
)
@pytest.mark.parametrize("filling", [b"", random.Random(1).randbytes(5000)], ids=["empty", "garbage"])
def test_an_empty_or_garbage_file_alone_is_quarantined_and_the_run_ends(curate, tmp_path, recipe, name, filling):
    (tmp_path / name).write_bytes(filling)
    said = curate(recipe, tmp_path / name)
    assert said.says("quarantined", name).code == 3
    assert_nothing_is_lost(tmp_path / "run", [])


def test_a_run_without_documents_packs_no_tokens(millrace, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"")
    said = millrace("curate", "text", "--input", tmp_path / "x.jsonl", "--output", tmp_path / "run", "--workers", 0)
    assert said.says("empty file").code == 3
    manifest = storage.read_json(str(tmp_path / "run/tokens/manifest.json"))
    assert (manifest["documents"], manifest["tokens"], manifest["rows"], manifest["shards"]) == (0, 0, 0, [])


def test_strict_stops_at_an_unreadable_file(curate, good, tmp_path):
    (tmp_path / "x.jsonl").write_bytes(b"")
    said = curate(TEXT, good[0], tmp_path / "x.jsonl", options=("--strict",))
    said.refuses(1, "--strict", "x.jsonl", "empty file", after_work=True)
    assert not (tmp_path / "run/run.json").exists()


def test_a_mended_file_is_read_on_the_next_run(curate, good, tmp_path):
    records = [{**record, "id": f"mended-{i}"} for i, record in enumerate(documents(30, seed=5))]
    bad = tmp_path / "bad.jsonl.gz"
    bad.write_bytes(b"nothing of gzip")
    assert curate(TEXT, good[0], bad).code == 3
    write_jsonl(bad, records)
    assert curate(TEXT, good[0], bad).says().code == 0
    assert_nothing_is_lost(tmp_path / "run", ids_of(good[1]) + ids_of(records))


def test_a_broken_file_can_be_taken_away(curate, good, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(b"")
    assert curate(TEXT, tmp_path / "*.jsonl").code == 3
    bad.unlink()
    for _ in range(2):  # and it stays forgiven
        assert curate(TEXT, tmp_path / "*.jsonl").says().code == 0
        assert_nothing_is_lost(tmp_path / "run", ids_of(good[1]))
    write_jsonl(bad, [{"id": "late", "text": "mended after all"}])
    assert curate(TEXT, tmp_path / "*.jsonl").says().code == 0
    assert_nothing_is_lost(tmp_path / "run", [*ids_of(good[1]), "late"])


# Documents that cannot be read


def test_garbage_lines_are_dropped_one_by_one(curate, good, tmp_path):
    path = tmp_path / "garbage.jsonl"
    path.write_bytes(random.Random(1).randbytes(5000))
    assert curate(TEXT, good[0], path).says().code == 0
    reasons = {row["reason"] for row in rows(tmp_path / "run", "ledger") if not row["id"].startswith("doc-")}
    assert reasons == {"invalid_utf8"}
    summary = storage.read_json(str(tmp_path / "run/run.json"))
    kept, dropped = rows(tmp_path / "run", "documents"), rows(tmp_path / "run", "ledger")
    assert summary["read"] == len(kept) + len(dropped)


def test_broken_lines_and_missing_fields_are_dropped_with_the_reason(curate, tmp_path):
    lines = [
        b'{"id": "a", "text": "good"}',
        b'{"id": "b", "text": "bro',
        b'{"id": "c", "txet": "misspelt"}',
        b'{"id": "d", "text": 7}',
        b'["e"]',
        b'{"id": "f", "text": "\xff\xfe"}',
        b"",
        b'{"id": "g", "text": "' + b"[" * 10 + b'"}',
        b"[" * 100_000,
        b'{"id": "h", "text": "last, without newline"}',
    ]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    assert curate(TEXT, tmp_path / "x.jsonl").says().code == 0
    kept, dropped = rows(tmp_path / "run", "documents"), rows(tmp_path / "run", "ledger")
    assert [row["id"] for row in kept] == ["a", "g", "h"]
    assert [(row["doc_id"], row["reason"]) for row in dropped] == [
        (1, "broken_json"),
        (2, "missing_text"),
        (3, "missing_text"),
        (4, "broken_json"),
        (5, "invalid_utf8"),
        (7, "broken_json"),
    ]
    assert "no field text; fields: id, txet" in dropped[1]["value_text"]
    assert storage.read_json(str(tmp_path / "run/run.json"))["skipped"] == {"blank line": 1}


def test_a_wrong_chunked_encoding_costs_one_page_at_most(curate, good_warc, tmp_path):
    binary = random.Random(3).randbytes(2000)
    path = tmp_path / "x.warc.gz"
    path.write_bytes(
        warc(
            ("plain", response(page("stored as plain text under a chunked header"), "Transfer-Encoding: chunked")),
            ("binary", response(binary, "Transfer-Encoding: chunked")),
            ("lying", response(b"5\r\n<html\r\nFFFFFFF\r\n" + page("chunk that lies"), "Transfer-Encoding: chunked")),
        )
    )
    assert curate(PAGES, good_warc[0], path).says().code == 0
    dropped = assert_nothing_is_lost(tmp_path / "run", [*good_warc[1], "plain", "binary", "lying"])
    assert dropped["binary"] == "bad_content_encoding"
    assert "plain" not in dropped


def test_a_page_of_invalid_utf8_is_kept_with_what_can_be_read(curate, tmp_path):
    body = b"<html><head><meta charset=utf-8></head><body><p>caf\xff\xfe and more text here</p></body></html>"
    (tmp_path / "x.warc.gz").write_bytes(warc(("one", response(body))))
    assert curate(PAGES, tmp_path / "x.warc.gz").says().code == 0
    (kept,) = rows(tmp_path / "run", "documents")
    assert "more text here" in kept["text"]


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
def test_html_nested_ten_thousand_deep_costs_one_page_at_most(curate, tmp_path, engine):
    deep = b"<html><body>" + b"<div>" * 10_000 + b"deep" + b"</div>" * 10_000
    pages = ("first", response(page("one good page"))), ("deep", response(deep)), ("last", response(page("another")))
    (tmp_path / "x.warc.gz").write_bytes(warc(*pages))
    assert curate(PAGES.replace("resiliparse", engine), tmp_path / "x.warc.gz").says().code == 0
    assert set(assert_nothing_is_lost(tmp_path / "run", ["first", "deep", "last"])) <= {"deep"}


def test_a_document_of_fifty_megabytes_takes_bounded_memory(tmp_path):
    huge = {"id": "huge", "text": "the quick brown fox jumps over it\n" * (50_000_000 // 34)}
    write_jsonl(tmp_path / "in.jsonl", [*documents(5), huge])
    (tmp_path / "recipe.yaml").write_text("[FixUnicode, GopherQuality, ExactDedup]")
    code = (  # ru_maxrss starts at what the parent had held
        "import sys\nfrom pathlib import Path\nfrom pipelines.cli import main\ncode = main(sys.argv[1:])\n"
        "peak = Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0]\n"
        "print('MB', int(peak) // 1024)\nsys.exit(code)"
    )
    given = ["curate", "recipe.yaml", "--input", "in.jsonl", "--output", "run", "--workers", "0"]
    command = [sys.executable, "-c", code, *given]
    done = subprocess.run(command, cwd=tmp_path, env=with_us(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_nothing_is_lost(tmp_path / "run", [f"doc-{i:05d}" for i in range(5)] + ["huge"])
    assert int(done.stdout.rpartition("MB")[2]) < 1500  # the libraries, and 20 copies of the text


# Run folders


def test_a_folder_with_the_run_of_another_pipeline_is_refused(curate, good, tmp_path):
    assert curate(TEXT, good[0]).code == 0
    before = content(tmp_path / "run")
    said = curate("[{ReadJsonl: {path: []}}, FixUnicode, ExactDedup]", good[0])
    said.refuses(1, str(tmp_path / "run"), "ReadJsonl | ExactDedup", "ReadJsonl | FixUnicode | ExactDedup", "--output")
    assert content(tmp_path / "run") == before


def test_a_folder_in_use_by_another_process_is_refused(curate, millrace, good, tmp_path):
    assert curate(TEXT, good[0]).code == 0
    code = (
        "import sys\nfrom curator.run.folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).locked():\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        curate(TEXT, good[0]).refuses(1, str(tmp_path / "run"), f"in use by process {holder.pid}")
        millrace("clean", tmp_path / "run").refuses(1, f"in use by process {holder.pid}")
        holder.kill()
        holder.wait()
    assert curate(TEXT, good[0]).code == 0


def test_a_folder_of_something_else_is_refused_and_left_as_it_was(curate, good, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter-1.txt").write_text("years of work")
    curate(TEXT, good[0], output=tmp_path / "thesis").refuses(1, "not a run folder", "chapter-1.txt", "--output")
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter-1.txt"]


def test_an_output_that_is_a_file_is_refused(curate, good, tmp_path):
    curate(TEXT, good[0], output=good[0]).refuses(1, str(good[0]), "is a file", "folder was expected")
    curate(TEXT, good[0], output=good[0] / "below").refuses(1, str(good[0]), "Not a directory")


@pytest.mark.parametrize("command", [("report",), ("clean",), ("why", "doc-00001")])
@pytest.mark.parametrize("name", ["nowhere", "empty", "good.jsonl"])
def test_what_is_no_run_cannot_be_looked_at(millrace, good, tmp_path, command, name):
    (tmp_path / "empty").mkdir()
    verb, *rest = command
    millrace(verb, tmp_path / name, *rest).refuses(1, str(tmp_path / name), "no run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "good.jsonl"]


@pytest.mark.parametrize("wanted", ["doc-99999", "99999999999", "9" * 40, "²", "", "http://nowhere/"])
def test_why_of_an_unknown_document_says_so(curate, millrace, good, tmp_path, wanted):
    curate(TEXT, good[0])
    millrace("why", tmp_path / "run", wanted).refuses(1, f"has no document with doc_id, id or URL {wanted}".strip())


# Input that changes between runs


def test_a_changed_input_file_is_refused_by_name(curate, good, tmp_path):
    curate(TEXT, good[0])
    before = content(tmp_path / "run")
    write_jsonl(good[0], good[1][:-1])
    curate(TEXT, good[0]).refuses(1, str(good[0]), "has changed", "bytes then", "put it back", "--output")
    assert content(tmp_path / "run") == before


def test_a_vanished_input_file_is_refused_by_name(curate, good, tmp_path):
    other = write_jsonl(tmp_path / "other.jsonl", documents(5, seed=9))
    curate(TEXT, tmp_path / "*.jsonl")
    other.unlink()
    curate(TEXT, tmp_path / "*.jsonl").refuses(1, str(other), "--input")
    good[0].unlink()
    curate(TEXT, tmp_path / "*.jsonl").refuses(1, f"no file matches {tmp_path}/*.jsonl")


# Disks


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mount a small disk, or give a mounted one other options; skips where that is not allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = False

    def options(said: str) -> Path:
        nonlocal mounted
        command = ["mount", "-t", "tmpfs", "-o", f"remount,{said}" if mounted else said, "tmpfs", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"this user may not mount a disk: {done.stderr.strip()}")
        mounted = True
        return place

    yield options
    if mounted:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("size", ["4k", "16k", "60k", "150k", "350k"])
def test_a_full_disk_stops_the_run_and_with_room_it_resumes_to_the_same_bytes(curate, tmp_path, disk, size):
    inputs = write_parts(tmp_path / "in", documents(300, seed=4), 4)
    stages = "GopherRepetition, ExactDedup, {Tokenize: {vocab_size: 400}}, {Pack: {seq_length: 64}}"
    recipe = f"[{{ReadJsonl: {{path: []}}}}, {stages}]"
    folder = disk(f"size={size}") / "run"
    curate(recipe, inputs, output=folder).refuses(1, "cannot write", "No space left on device", after_work=True)
    assert not (folder / "run.json").exists()
    disk("size=64m")
    assert curate(recipe, inputs, output=folder).says().code == 0
    assert curate(recipe, inputs, output=tmp_path / "elsewhere").code == 0
    assert content(folder) == content(tmp_path / "elsewhere")
    assert not list(folder.rglob("*.tmp"))


def test_a_file_over_the_size_limit_of_the_shell_stops_the_run_in_one_line(tmp_path):
    inputs = write_parts(tmp_path / "in", documents(200, seed=4), 1)
    given = ["curate", "dedup", "--input", inputs, "--output", str(tmp_path / "run"), "--workers", "0"]

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))

    command = [sys.executable, "-m", "pipelines.cli", *given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=limited)
    Said(done.returncode, done.stdout, done.stderr).refuses(1, "cannot write", "File too large", after_work=True)


def test_an_unwritable_output_folder_is_named(curate, good, tmp_path, disk):
    if os.getuid():
        (tmp_path / "disk").chmod(0o555)
    else:
        disk("ro")
    curate(TEXT, good[0], output=tmp_path / "disk" / "run").refuses(1, "cannot write", str(tmp_path / "disk/run"))


# Requests that make no sense


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("ExactDedp.x=1", ["no stage ExactDedp", "Did you mean ExactDedup?", "Stages: ReadJsonl, ExactDedup"]),
        ("FuzzyDedup.jacard=1", ["no field jacard", "Did you mean jaccard?", "bands", "max_bucket"]),
        ("FuzzyDedup.jaccard=high", ["FuzzyDedup.jaccard is 'high'", "float"]),
        ("FuzzyDedup.jaccard=7", ["FuzzyDedup.jaccard is 7", "above 0 and at most 1"]),
        ("FuzzyDedup.bands=1.5", ["FuzzyDedup.bands is 1.5", "int"]),
        ("FuzzyDedup.bands=true", ["FuzzyDedup.bands is True", "int"]),
        ("FuzzyDedup.bands=", ["FuzzyDedup.bands is None", "int"]),
        ("FuzzyDedup.keep=lngest", ["'lngest'", "first", "Did you mean longest?"]),
        ("FuzzyDedup.keep=[a", ["'[a' is not a YAML value"]),
        ("FuzzyDedup.bands", ["write Stage.field=value"]),
        ("bands=3", ["write Stage.field=value"]),
    ],
)
def test_a_bad_setting_is_a_usage_error(millrace, good, tmp_path, setting, words):
    given = ("--input", good[0], "--output", tmp_path / "run", "--workers", 0, "--set", setting)
    millrace("curate", "dedup", *given).refuses(2, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("- a: [1\n- b: {", ["recipe.yaml is not YAML", "line 1"]),
        ("\x01", ["recipe.yaml is not YAML"]),
        ("hello", ["a recipe is a list of stages"]),
        ("ExactDedup: {}", ["a recipe is a list of stages"]),
        ("", ["a recipe is a list of stages"]),
        ("[]", ["a recipe is a list of stages"]),
        ("[[a, b]]", ["['a', 'b'] is no stage", "{Name: {field: value}}"]),
        ("[3]", ["3 is no stage"]),
        ("[~]", ["None is no stage"]),
        ("[{}]", ["{} is no stage"]),
        ("[{3: {}}]", ["is no stage"]),
        ("[{ExactDedup: {}, FuzzyDedup: {}}]", ["is no stage"]),
        ("[ReadJsonl: [a]]", ["its settings are ['a']", "mapping of field: value"]),
        ("[ReadJsonl: {3: 4}]", ["ReadJsonl has no field 3", "Fields: "]),
        ("[ExactDedop]", ["no stage is called ExactDedop", "Did you mean ExactDedup?", "Stages: ReadWarc"]),
        ("[ReadJsonl, Pack, Tokenize]", ["Pack reads tokens (list<uint32>)", "Available: doc_id (uint64), id"]),
        ("[ReadWarc, FixUnicode, ExtractHtml]", ["FixUnicode reads text", "no such column", "html (string)"]),
        ("[ExactDedup, ReadJsonl: {path: a}]", ["ReadJsonl is a reader; a reader comes first"]),
    ],
)
def test_a_recipe_that_makes_no_sense_is_a_usage_error(curate, good, tmp_path, recipe, words):
    curate(recipe, good[0]).refuses(2, *words)
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_is_a_usage_error(millrace, good, tmp_path):
    given = ("--input", good[0], "--output", tmp_path / "run")
    said = millrace("curate", "wbe", *given)
    said.refuses(2, "no recipe is called wbe", "Did you mean web?", "dedup, instruct, text, web")
    millrace("curate", tmp_path / "x.yaml", *given).refuses(1, f"cannot read {tmp_path}/x.yaml", "No such file")


@pytest.mark.parametrize("path", ["3", "~", "[]", "[3]", "{a: [~]}", "''"])
def test_a_reader_whose_path_is_none_is_a_usage_error(curate, path):
    curate(f"[ReadJsonl: {{path: {path}}}]").refuses(2, "ReadJsonl.path is", "a glob, a list of globs", "--input")


def test_a_run_without_input_is_a_usage_error(millrace, curate, tmp_path):
    given = ("--output", tmp_path / "run", "--workers", 0)
    millrace("curate", "web", *given).refuses(2, "ReadWarc.path is []", "--input")
    millrace("curate", "dedup", *given).refuses(2, "begins with ExactDedup", "--input")
    curate("[ReadJsonl, ExactDedup]").refuses(2, "ReadJsonl needs path")


def test_an_ending_that_tells_no_reader_is_a_usage_error(millrace, tmp_path):
    given = ("--output", tmp_path / "run", "--input", tmp_path / "a.docx")
    millrace("curate", "dedup", *given).refuses(2, "a.docx", ".jsonl", ".parquet", "name a reader in the recipe")


@pytest.mark.parametrize("pattern", ["*.nothing.jsonl", "absent.jsonl", "folder.jsonl"])
def test_input_that_is_not_there_is_named(curate, tmp_path, pattern):
    (tmp_path / "folder.jsonl").mkdir()
    curate(TEXT, tmp_path / pattern).refuses(1, f"no file matches {tmp_path}/{pattern}")


def test_a_store_nobody_knows_is_named(curate, good):
    curate(TEXT, "nostore://bucket/x.jsonl").refuses(1, "nostore://bucket/x.jsonl", "Protocol not known")
    curate(TEXT, good[0], output="nostore://bucket/run").refuses(1, "nostore://bucket/run", "Protocol not known")


@pytest.mark.parametrize(
    ("filling", "words"),
    [
        ("{}", ["is not a tokenizer.json"]),
        ("not even JSON", ["is not a tokenizer.json"]),
        (b"\xff\xfe\x00", ["is not a tokenizer.json"]),
        (None, ["cannot read", "No such file"]),
        ("without end", ["no end-of-document token", "<|endoftext|>", "[UNK]", "set Tokenize.end_of_document"]),
    ],
)
def test_a_tokenizer_that_is_none_is_named_before_anything_is_read(millrace, good, tmp_path, filling, words):
    from tokenizers import Tokenizer, models

    path = tmp_path / "tokenizer.json"
    if filling == "without end":
        tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
        tokenizer.add_special_tokens(["[UNK]"])
        filling = tokenizer.to_str()
    if filling is not None:
        path.write_bytes(filling if isinstance(filling, bytes) else filling.encode())
    given = ("--input", good[0], "--output", tmp_path / "run", "--tokenizer", path, "--workers", 0)
    millrace("curate", "text", *given).refuses(1, str(path), *words)
    assert not (tmp_path / "run").exists()
    millrace("curate", "dedup", *given).refuses(2, "no stage Tokenize")


def test_a_gpu_that_is_not_there_is_not_replaced_in_silence(millrace, good, tmp_path):
    given = ("--input", good[0], "--output", tmp_path / "run", "--device", "gpu")
    millrace("curate", "dedup", *given).refuses(1, "--device gpu", "millrace[gpu]")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense"])
def test_a_scheduler_that_does_not_answer_is_named(millrace, good, tmp_path, address):
    given = ("--input", good[0], "--output", tmp_path / "run", "--scheduler", address)
    millrace("curate", "dedup", *given).refuses(1, f"no Dask scheduler answers at {address}")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], ["COMMAND", "--help"]),
        (["frobnicate"], ["'frobnicate'", "curate", "report", "why"]),
        (["curate", "web"], ["--output", "curate --help"]),
        (["curate", "web", "--output", "x", "--workers", "-1"], ["-1", "whole number"]),
        (["curate", "web", "--output", "x", "--limit", "many"], ["many", "whole number"]),
        (["curate", "web", "--output", "x", "--device", "tpu"], ["'tpu'", "auto", "cpu", "gpu"]),
        (["curate", "web", "--output", "x", "--colour"], ["--colour"]),
        (["stages", "FuzzyDdup"], ["no stage is called FuzzyDdup", "Did you mean FuzzyDedup?", "ReadWarc"]),
    ],
)
def test_a_usage_error_is_one_line(millrace, given, words):
    millrace(*given).refuses(2, *words)


# Stops


def with_us() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("workers", [0, 2])
def test_ctrl_c_stops_in_one_line_and_the_same_command_resumes(curate, tmp_path, workers):
    """A terminal sends it to all processes of the command, so this does too."""
    records = documents(240, seed=6)
    inputs = write_parts(tmp_path / "in", records, 40)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(TEXT)
    given = ["--input", inputs, "--output", str(tmp_path / "run"), "--workers", str(workers)]
    command = [sys.executable, "-m", "pipelines.cli", "curate", str(recipe), *given]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "run").glob("work/*/done/part-*")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    said = [line for line in err.splitlines() if line and not line.startswith(("dashboard: ", "pass "))]
    assert (process.returncode, said) == (130, ["millrace: stopped; the same command resumes"]), err
    done = len(list((tmp_path / "run").glob("work/*/done/part-*")))
    assert 0 < done < 40
    assert curate(TEXT, inputs).says().code == 0
    assert_nothing_is_lost(tmp_path / "run", ids_of(records))
    assert curate(TEXT, inputs, output=tmp_path / "clean").code == 0
    assert content(tmp_path / "run") == content(tmp_path / "clean")


def test_a_reader_of_the_output_that_goes_away_is_no_error(tmp_path):
    command = f"{sys.executable} -m pipelines.cli stages | head -1"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.startswith("ReadWarc")
    assert done.stderr == ""
