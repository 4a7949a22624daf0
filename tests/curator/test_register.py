"""A part keeps its number and its file, whatever happens around it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import curator
from curator import Pipeline
from curator.errors import InputError, RunError, SpecError
from curator.run.register import mark_used, patterns, register
from millrace import storage


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("b", "d"):
        (tmp_path / f"{name}.jsonl").write_text('{"text": "x"}\n' * 3)
    return tmp_path


def registered(folder: Path, reader=None, used=None, stages=()) -> list[tuple[int, str, str]]:
    """Return (part, file name, source) as registered; then say that the run has used these parts, or all."""
    reader = reader or curator.ReadJsonl(f"{folder}/*.jsonl")
    found = register(Pipeline([reader, *stages]), f"{folder}/inputs.json")
    mark_used(f"{folder}/inputs.json", [i.part.number for i in found] if used is None else used)
    return [(item.part.number, Path(item.part.url).stem, item.part.source) for item in found]


def change(path: Path) -> None:
    """Other bytes, same size, other time."""
    path.write_text(path.read_text().replace("x", "y"))
    os.utime(path, ns=(1, 1))


def test_new_files_come_after_old_ones_wherever_they_sort(files):
    assert registered(files) == [(0, "b", "input"), (1, "d", "input")]
    for name in ("c", "a"):
        (files / f"{name}.jsonl").write_text("{}")
    assert [part[:2] for part in registered(files)] == [(0, "b"), (1, "d"), (2, "a"), (3, "c")]
    (files / "aa.jsonl").write_text("{}")
    assert [part[:2] for part in registered(files)] == [(0, "b"), (1, "d"), (2, "a"), (3, "c"), (4, "aa")]


def test_an_unchanged_register_is_not_written_again(files):
    registered(files)
    before = (files / "inputs.json").stat().st_mtime_ns
    uid = storage.read_json(f"{files}/inputs.json")["run_uid"]
    registered(files)
    assert (files / "inputs.json").stat().st_mtime_ns == before
    (files / "e.jsonl").write_text("{}")
    registered(files)
    assert storage.read_json(f"{files}/inputs.json")["run_uid"] == uid


def test_a_file_that_two_patterns_name_is_one_part(files):
    reader = curator.ReadJsonl({"mine": f"{files}/b.jsonl", "all": [f"{files}/*.jsonl", f"{files}/d.*"]})
    assert registered(files, reader) == [(0, "b", "mine"), (1, "d", "all")]


def test_a_source_may_be_named_anew_and_the_parts_stay(files):
    registered(files)
    assert registered(files, curator.ReadJsonl(f"{files}/*.jsonl", source="new")) == [(0, "b", "new"), (1, "d", "new")]


def test_large_files_are_cut_and_a_part_keeps_its_split(files):
    (files / "c.jsonl").write_text('{"text": "xxxxxxxxxxxxxxxxxxxxxx"}\n' * 90_000)
    reader = curator.ReadJsonl(f"{files}/*.jsonl", part_mb=1)
    found = register(Pipeline([reader]), f"{files}/inputs.json")
    splits = [item.part.split for item in found if item.part.url.endswith("c.jsonl")]
    assert len(splits) > 2
    assert splits[0][0] == 0
    assert splits[-1][1] == (files / "c.jsonl").stat().st_size
    assert [split[0] for split in splits[1:]] == [split[1] for split in splits[:-1]]
    assert register(Pipeline([reader]), f"{files}/inputs.json") == found


def test_a_changed_file_is_refused_unless_it_was_quarantined(files):
    registered(files, used=[0])
    change(files / "d.jsonl")
    assert registered(files, used=[0]) == [(0, "b", "input"), (2, "d", "input")]  # 1 stays taken
    assert registered(files) == [(0, "b", "input"), (2, "d", "input")]
    (files / "d.jsonl").write_text('{"text": "z"}')
    with pytest.raises(InputError, match=r"d\.jsonl has changed since this run read it \(42 bytes then, 13 now\)"):
        registered(files)


def test_a_file_that_was_not_used_is_cut_anew_when_it_changes(files):
    path, reader = files / "c.jsonl", curator.ReadJsonl(f"{files}/c.jsonl", part_mb=1)
    path.write_text('{"text": "xxxxxxxxxxxxxxxxxxxxxx"}\n' * 60_000)
    before = register(Pipeline([reader]), f"{files}/inputs.json")
    path.write_text('{"text": "xxxxxxxxxxxxxxxxxxxxxx"}\n' * 90_000)
    after = register(Pipeline([reader]), f"{files}/inputs.json")
    assert after[-1].part.split[1] == path.stat().st_size
    assert not {i.part.number for i in before} & {i.part.number for i in after}
    mark_used(f"{files}/inputs.json", [after[0].part.number])
    path.write_text("{}")
    with pytest.raises(InputError, match=r"c\.jsonl has changed"):  # one of its parts is used
        register(Pipeline([reader]), f"{files}/inputs.json")


def test_a_vanished_file_is_refused(files):
    registered(files)
    (files / "b.jsonl").unlink()
    with pytest.raises(InputError, match=r"b\.jsonl was input of this run and is not among its --input now"):
        registered(files)


def test_a_file_that_was_not_used_may_vanish_and_come_back(files):
    registered(files, used=[1])
    content = (files / "b.jsonl").read_text()
    (files / "b.jsonl").unlink()
    (files / "c.jsonl").write_text("{}")
    assert registered(files) == [(1, "d", "input"), (2, "c", "input")]
    (files / "b.jsonl").write_text(content)
    assert registered(files) == [(1, "d", "input"), (2, "c", "input"), (3, "b", "input")]


def test_a_register_of_other_stages_is_refused(files):
    registered(files)
    with pytest.raises(RunError, match=r"holds a run of ReadJsonl; this is ReadJsonl \| ExactDedup"):
        registered(files, stages=[curator.ExactDedup()])


def test_other_settings_of_the_reader_number_the_parts_anew(files):
    registered(files)
    (files / "a.jsonl").write_text("{}")
    assert [part[:2] for part in registered(files)] == [(0, "b"), (1, "d"), (2, "a")]
    uid = storage.read_json(f"{files}/inputs.json")["run_uid"]
    reader = curator.ReadJsonl(f"{files}/*.jsonl", text="content")
    assert [part[:2] for part in registered(files, reader)] == [(0, "a"), (1, "b"), (2, "d")]
    assert storage.read_json(f"{files}/inputs.json")["run_uid"] == uid


@pytest.mark.parametrize("path", [None, 3, [], {}, [3], [""], "", {"a": None}, {"a": []}])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(SpecError, match=r"ReadJsonl\.path is .* a glob, a list of globs or \{source: glob\}"):
        patterns(curator.ReadJsonl(path))
