"""SPIN prefers the data's answers to the model's own, where these are others."""

from __future__ import annotations

import json

from tests.align.run.runs import ASKED, configuration, run, steps


def test_an_answer_that_the_model_gives_too_is_known_to_be_the_datas(base, tmp_path):
    path = tmp_path / "talks.jsonl"
    said = [{"role": "assistant", "content": "the quick fox"}]
    records = [{"messages": [{"role": "user", "content": one}, *said]} for one in ASKED]
    records[0]["messages"][1] = {"role": "assistant", "content": "dog and"}
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    given = {"rollouts": {"temperature": 0.0}}  # the template writes a line end after an answer
    learn = {"training": {"steps": 40, "global_batch": 8}, "optimizer": {"lr": 1e-2}}
    taught = run(configuration("sft", base, str(path), **given, **learn), tmp_path / "sft")
    spin = {"training": {"steps": 1, "global_batch": 1}, "spin": {"iterations": 1}}
    played = run(configuration("spin", str(taught), str(path), **given, **spin), tmp_path / "spin")
    (alike,) = steps(played, "alike")
    assert 0.5 < alike < 1
