"""Models that take turns on a device."""

import gc
from dataclasses import replace

import pytest

from align.run.resting import Resting, using, within
from align.run.start import prepare, write
from tests.align.run.runs import CPU, configuration, data, lines, run, same


class Moves:
    """A policy's memory alone: where its parts are, and how often they moved."""

    def __init__(self):
        self.head, self.data_rank, self.data_ranks, self.version = "lm", 0, 1, 0
        self.told = []

    def offload(self, *parts):
        self.told.append(("off", *parts))

    def onload(self, *parts):
        self.told.append(("on", *parts))

    def logprobs(self, batches, **asked):
        self.told.append("logprobs")
        return []

    def train_step(self, *given):
        self.told.append("step")
        return None


def test_a_model_alone_never_moves():
    from weakref import WeakSet

    one = Resting(Moves(), WeakSet())
    one.logprobs([])
    one.train_step([], None, {})
    assert one.policy.told == ["logprobs", "step"]


def test_of_two_models_only_what_is_used_is_on_the_device():
    from weakref import WeakSet

    held = WeakSet()
    one, two = Resting(Moves(), held), Resting(Moves(), held)
    assert one.policy.told == two.policy.told == [("off",)]
    one.logprobs([])
    assert one.policy.told[1:] == [("on", "weights"), "logprobs", ("off",)]
    with using(one, "weights"):
        one.logprobs([])
        one.train_step([], None, {})
        assert one.policy.told[4:] == [("on", "weights"), "logprobs", ("on", "optimizer"), "step"]
    assert one.policy.told[-1] == ("off",)
    assert two.policy.told == [("off",)]
    del two
    gc.collect()
    one.train_step([], None, {})
    one.train_step([], None, {})
    assert one.policy.told[-3:] == [("on", "weights", "optimizer"), "step", "step"]  # its neighbour is gone


@pytest.mark.parametrize("method", ["ppo", "grpo"])
def test_runs_with_and_without_offloading_are_the_same(method, base, tmp_path):
    sections = {"ppo": {"group_size": 2}} if method == "ppo" else {"grpo": {"beta": 0.1}}
    sections["rewards"] = [{"pattern": {"tokens": list(range(20, 60))}}]
    path = data(tmp_path, "prompts")
    resting, staying = (
        run(configuration(method, base, path, **sections, placement={"offload": off}), tmp_path / str(off))
        for off in (True, False)
    )
    assert lines(resting) == lines(staying)
    assert same(resting, staying)


def test_policies_of_a_job_rest_where_offloading_is_asked_for(base, tmp_path):
    from align.run.data import RunData
    from align.run.job import Job
    from align.run.start import open_chat
    from align.rollout.placement import placed
    from pretrain.run.watch import Record
    from tests.align.run.runs import alone

    prepared = prepare(configuration("sft", base, data(tmp_path, "messages")), CPU)
    write(prepared, str(tmp_path))
    life, config = alone(), prepared.config
    chat = open_chat(config)
    for offload in (True, False):
        given = replace(config, placement=replace(config.placement, offload=offload))
        job = Job(given, str(tmp_path), life, chat, RunData(given, chat), placed(given.placement, life.place), Record())
        policy = job.policy("actor")
        assert isinstance(policy, Resting) == offload
        assert within(policy).settings.optimizer is None
