"""The benchmark of alignment at a tiny size: our side and the plain loops learn the same, and the rows say what was."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import sys

import pytest

pytest.importorskip("transformers")

from benchmarks import align_inputs, align_speed, ours_align, plain_align

TINY = align_inputs.Size(
    hidden=32, layers=1, ffn=48, heads=2, answer_words=9, sft_batch=4, dpo_batch=3, prompts=2, group=4, new_tokens=6,
    steps=1, online_steps=1, first_steps=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("align") / "in"
    align_inputs.make(place, TINY)
    for method in align_inputs.METHODS:
        ours_align.write_order(method, place, TINY)
    return place


def answers(method, folder, tmp_path, rounds):
    """Run our side in a process of its own, and the plain loop here, which takes seconds less."""
    command = [sys.executable, "-m", "benchmarks.ours_align", method, str(folder)]
    with align_speed.side(command, tmp_path / "log") as ask:
        ours = [ask(steps) for steps in rounds]
    return {"ours": ours, "plain loop": [plain(method, folder, steps) for steps in rounds]}


def plain(method, folder, steps):
    told = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(told):
        patch.setattr(sys, "stdin", [json.dumps({"steps": steps})])
        plain_align.serve(method, folder)
    return json.loads(told.getvalue())


@pytest.mark.parametrize("method", ["sft", "dpo"])
def test_our_side_and_the_plain_loop_learn_the_same(method, folder, tmp_path):
    found = answers(method, folder, tmp_path, (3, 1))
    ours, hand = found["ours"], found["plain loop"]
    for one, other in zip(ours, hand, strict=True):
        assert one["losses"] == pytest.approx(other["losses"], abs=1e-5)
        assert one["tokens"] == other["tokens"] > 0
        assert one["cpu"] > 0
    assert ours[1]["losses"] == pytest.approx(ours[0]["losses"][:1], abs=1e-6)  # each round begins anew
    assert method == "sft" or ours[0]["losses"][0] == pytest.approx(math.log(2), abs=1e-6)
    rows = align_speed.speeds(method, found)
    assert [row[1] for row in rows] == ["ours", "plain loop"]
    assert "at most" in align_speed.quality(method, method, found)
    found["ours"][0]["losses"][-1] += 0.01
    with pytest.raises(SystemExit, match="do not learn the same"):
        align_speed.quality(method, method, found)


@pytest.mark.parametrize("method", ["grpo", "ppo"])
def test_online_sides_draw_and_earn_and_say_where_the_time_goes(method, folder, tmp_path):
    found = answers(method, folder, tmp_path, (2,))
    for (said,) in found.values():
        assert len(said["losses"]) == len(said["rewards"]) == 2
        assert 2 * 8 <= said["tokens"] <= 2 * 8 * TINY.new_tokens
    (ours,) = found["ours"]
    assert {"generate", "train the actor"} <= ours["phases"].keys()
    assert 0 < sum(ours["phases"].values()) <= ours["cpu"]
    assert "reward" in align_speed.quality(method, method, found)


def test_even_examples_have_one_length(tmp_path):
    size = dataclasses.replace(TINY, even=True)
    align_inputs.make(tmp_path / "in", size)
    for method in ("sft", "dpo"):
        ours_align.write_order(method, tmp_path / "in", size)
        assert align_speed.padding(method, tmp_path / "in") == 0


def test_padding_is_counted(folder):
    assert 0 < align_speed.padding("sft", folder) < 0.8
