"""Models that take turns on a device."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch

from align.batch import Example, TokenSequence
from align.layout import padded
from align.objectives import SftLoss, counts
from align.rollout.placement import placed
from align.run.data import RunData
from align.run.job import Job
from align.run.resting import using, within
from align.run.start import open_chat, prepare
from pretrain.run.watch import Record
from tests.align.run.runs import CPU, alone, configuration, data, lines, run, same

EXAMPLE = Example("one", (TokenSequence(np.arange(10, 18), np.arange(8) > 3),))


@pytest.fixture
def job(base, tmp_path):
    """Return a job, which opens policies."""
    prepared = prepare(configuration("sft", base, data(tmp_path, "messages")), CPU)
    config, life = prepared.config, alone()
    chat = open_chat(config)
    return Job(config, str(tmp_path), life, chat, RunData(config, chat), placed(config.placement, life.place), Record())


def is_there(policy, *parts):
    """Tell whether a policy's parts are on the device: what is computed without them is our own mistake."""
    own, batches = within(policy), [padded([EXAMPLE])]
    try:
        own.logprobs(batches)
        if "optimizer" in parts:
            own.train_step(batches, SftLoss(), counts([EXAMPLE]))
    except AssertionError as error:
        return "offloaded" not in str(error)
    return True


def test_a_model_alone_never_moves(job):
    one = job.policy("actor", optimizer=job.config.optimizer)
    one.logprobs([padded([EXAMPLE])])
    assert is_there(one, "weights", "optimizer")


def test_of_two_models_only_what_is_used_is_on_the_device(job):
    one, two = job.policy("actor", optimizer=job.config.optimizer), job.policy("reference")
    assert not is_there(one)
    assert not is_there(two)
    before = one.logprobs([padded([EXAMPLE])])[0].logprobs
    assert torch.equal(two.logprobs([padded([EXAMPLE])])[0].logprobs, before)
    assert one.train_step([padded([EXAMPLE])], SftLoss(), counts([EXAMPLE])).applied
    assert not is_there(one)
    with using(one, "weights"):
        assert is_there(one, "weights")
        assert not is_there(one, "optimizer")
        with using(one):
            assert is_there(one, "weights", "optimizer")
        assert is_there(one, "weights", "optimizer")  # it rests when the outer block ends
    assert not is_there(one)
    del two
    gc.collect()
    one.logprobs([padded([EXAMPLE])])
    assert is_there(one)  # its neighbour is gone


def test_without_offloading_policies_are_the_backends_own(job):
    job.config = replace(job.config, placement=replace(job.config.placement, offload=False))
    one, two = job.policy("actor"), job.policy("reference")
    assert one is within(one)
    assert is_there(one)
    assert is_there(two)


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
