"""Log files read back as columns."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.errors import TrainingError
from pretrain.run.log import Event, LogFiles, append_event
from pretrain.run.reading import read_events, read_log
from tests.pretrain.run.lines import step_line, validation_line


@pytest.fixture(scope="module")
def content(tmp_path_factory) -> bytes:
    folder = tmp_path_factory.mktemp("whole")
    log = LogFiles(str(folder))
    for step in range(1, 9):
        log.step(step_line(step, loss=math.nan if step == 3 else 1.5, skipped=step == 3))
        if step % 2 == 0:
            log.validation(validation_line(step))
    log.close()
    return (folder / "log.jsonl").read_bytes()


@settings(max_examples=40)
@given(data=st.data())
def test_against_json_line_by_line_for_any_cut(content, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    cut = content[: data.draw(st.integers(0, len(content)))]
    (folder / "log.jsonl").write_bytes(cut)
    found = read_log(str(folder))
    wanted = [json.loads(line) for line in cut.split(b"\n")[:-1]]
    for columns, kept in (
        (found.steps, [w for w in wanted if "rows" in w]),
        (found.validations, [w for w in wanted if "rows" not in w]),
    ):
        assert len(columns["step"]) == len(kept)
        for name, values in columns.items():
            given_ = [math.nan if line[name] is None else line[name] for line in kept]
            np.testing.assert_array_equal(values, given_, err_msg=name)


def test_the_last_line_of_a_step_holds(tmp_path):
    lines = [(2, 1.0), (3, 1.0), (2, 5.0), (4, 6.0)]
    log = LogFiles(str(tmp_path))
    for step, loss in lines:
        log.step(step_line(step, loss=loss))
    log.close()
    found = read_log(str(tmp_path)).steps
    assert (found["step"].tolist(), found["loss"].tolist()) == ([2, 3, 4], [5.0, 1.0, 6.0])
    assert found["skipped"].dtype == bool


def test_what_is_absent_is_empty(tmp_path):
    found = read_log(str(tmp_path))
    assert len(found.steps["loss"]) == len(found.validations["perplexity"]) == 0
    assert read_events(str(tmp_path)) == []


def test_events_are_as_they_were_written(tmp_path):
    append_event(str(tmp_path), Event("bad_batch", 4, {"documents": ["a\nb", 7]}, 12.5))
    with (tmp_path / "events.jsonl").open("a") as stream:
        stream.write('{"time":')
    wanted = {"time": 12.5, "kind": "bad_batch", "step": 4, "documents": ["a\nb", 7]}
    assert read_events(str(tmp_path)) == [wanted]


@pytest.mark.parametrize("line", ["hello", '{"step": "one", "rows": 1}'])
def test_a_damaged_log_is_named(tmp_path, line):
    (tmp_path / "log.jsonl").write_text(line + "\n")
    with pytest.raises(TrainingError, match=r"log\.jsonl is damaged"):
        read_log(str(tmp_path))


@pytest.mark.parametrize("line", ["hello", "[]", '{"kind": "save", "time": 1}'])
def test_damaged_events_are_named_by_their_line(tmp_path, line):
    (tmp_path / "events.jsonl").write_text('{"kind": "save", "step": 1, "time": 1.0}\n' + line + "\n")
    with pytest.raises(TrainingError, match=r"events\.jsonl is damaged: line 2 is no event"):
        read_events(str(tmp_path))
