"""The table of samples."""

from __future__ import annotations

import json

from align.run.samples import SAMPLES, Sample, SampleTable

ONE = Sample("p-1", "What?", "That: é\u2028 and\nmore", 7, 0.5, {"math": 0.5}, finished=False, version=3)


def lines(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / SAMPLES).read_text().split("\n") if line]


def test_completions_are_lines_with_their_step(tmp_path):
    table = SampleTable(str(tmp_path))
    table.add(1, [])
    assert not (tmp_path / SAMPLES).exists()
    table.add(0, [ONE])
    table.add(2, [ONE, ONE])
    assert [line["step"] for line in lines(tmp_path)] == [0, 2, 2]
    assert lines(tmp_path)[0] == {
        "step": 0, "prompt_id": "p-1", "prompt": "What?", "text": "That: é\u2028 and\nmore", "length": 7, "reward": 0.5,
        "rewards": {"math": 0.5}, "finished": False, "version": 3, "before": "",
    }  # fmt: skip


def test_a_run_that_goes_on_loses_later_and_torn_lines(tmp_path):
    table = SampleTable(str(tmp_path))
    table.cut(0)  # nothing is there yet
    for step in (0, 5, 10):
        table.add(step, [ONE])
    with (tmp_path / SAMPLES).open("a") as stream:
        stream.write('{"step": 5, "te')
    table.cut(5)
    assert [line["step"] for line in lines(tmp_path)] == [0, 5]
    table.cut(0)
    assert lines(tmp_path) == []
