"""Runs with real ranks: what a kill, a signal, other ranks and bad batches do to the losses."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest

from millrace import storage
from pretrain.errors import CheckpointError, ParallelError, TrainingError
from pretrain.run.launch import launch
from pretrain.run.reading import Log, read_events, read_log
from tests.pretrain.run.runs import AfterStep, configuration, shards, written

TWO = {"ranks": 2, "distributed_optimizer": True, "overlap": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> str:
    return shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def unbroken(place, tmp_path_factory) -> Log:
    folder = written(tmp_path_factory.mktemp("unbroken"), configuration(place, parallel=TWO))
    assert launch(folder, 2, 0) == 0
    return read_log(folder)


def test_a_run_learns_and_says_what_it_did(unbroken):
    steps, validations = unbroken.steps, unbroken.validations
    assert steps["step"].tolist() == list(range(1, 61))
    assert steps["rows"].tolist() == [8 * step for step in range(1, 61)]
    assert validations["step"].tolist() == [20, 40, 60]
    assert validations["validation_loss"][-1] < validations["validation_loss"][0] - 0.3
    assert steps["lr"][0] == pytest.approx(5e-3)
    assert steps["lr"][-1] == pytest.approx(1e-3)
    assert (steps["tokens_per_second"] > 0).all()
    assert (steps["mfu"] > 0).all()


@pytest.mark.slow
def test_a_killed_rank_changes_no_loss(place, unbroken, tmp_path):
    folder = written(tmp_path, configuration(place, parallel=TWO))
    with AfterStep(folder, 27, 1, lambda process: process.send_signal(signal.SIGKILL)):
        assert launch(folder, 2, 1) == 0
    log = read_log(folder)
    for name in ("loss", "grad_norm", "lr", "rows", "tokens"):
        assert log.steps[name].tolist() == unbroken.steps[name].tolist(), name
    assert log.validations["validation_loss"].tolist() == unbroken.validations["validation_loss"].tolist()
    kinds = [event["kind"] for event in read_events(folder)]
    assert kinds.count("restart") == 1
    assert "restore" in kinds
    restart = next(event for event in read_events(folder) if event["kind"] == "restart")
    assert "rank 1 was killed by signal 9" in restart["message"]


@pytest.mark.slow
def test_a_signal_saves_and_another_number_of_ranks_goes_on(place, unbroken, tmp_path):
    folder = written(tmp_path, configuration(place, parallel=TWO))
    with AfterStep(folder, 13, 1, lambda process: process.send_signal(signal.SIGTERM)):
        assert launch(folder, 2, 0) == 0
    stopped = int(read_log(folder).steps["step"][-1])
    assert 13 <= stopped < 60
    assert storage.exists(f"{folder}/checkpoints/step-{stopped:08}/checkpoint.json")
    written(tmp_path, configuration(place))
    assert launch(folder, 1, 0) == 0
    log = read_log(folder)
    assert log.steps["step"].tolist() == list(range(1, 61))
    assert np.abs(log.steps["loss"] - unbroken.steps["loss"]).max() < 1e-5
    kept = sorted(p.name for p in Path(folder, "checkpoints").iterdir())
    assert kept == ["latest", "step-00000050", "step-00000060"]

    written(tmp_path, configuration(place, data={"seed": 5}))
    with pytest.raises(CheckpointError, match="seed 0 in the checkpoint, 5 in the configuration"):
        launch(folder, 1, 0)


def test_bad_batches_are_skipped_and_too_many_stop_the_run_by_the_names_of_their_documents(place, tmp_path):
    # every loss above 0.98 of the mean of the last two is bad here, so bad ones come soon
    guard = {"spike": 0.98, "spike_window": 2, "max_bad_steps": 3}
    folder = written(tmp_path, configuration(place, guard=guard))
    said = r"4 bad batches are more than guard.max_bad_steps 3. Documents of .*: d\d+"
    with pytest.raises(TrainingError, match=said):
        launch(folder, 1, 0)
    log = read_log(folder)
    bad = [event for event in read_events(folder) if event["kind"] == "bad_batch"]
    assert len(bad) == 3  # the fourth ended the run
    assert int(log.steps["skipped"].sum()) == 4
    named = json.loads(Path(folder, "bad_batches", f"step-{bad[0]['step']}.json").read_text())
    assert named["documents"] == bad[0]["documents"]
    assert all(name.startswith("d") for name in named["documents"])


@pytest.mark.slow
def test_ranks_that_cannot_share_the_model_or_the_batch_are_refused_by_the_product(place, tmp_path):
    folder = written(tmp_path, configuration(place, parallel={"ranks": 2, "tensor": 2}))
    with pytest.raises(ParallelError, match=r"1 ranks were started: tensor 2 x .* = 2 must divide ranks 1"):
        launch(folder, 1, 0)


@pytest.mark.slow
def test_a_last_save_that_fails_is_tried_once_more_and_a_run_that_is_done_adds_nothing_to_its_log(place, tmp_path):
    folder = written(tmp_path, configuration(place, training={"steps": 20}))
    aside = Path(folder, "checkpoints", ".step-00000020.writing")
    with AfterStep(folder, 11, 0, lambda process: aside.write_text("a file where a folder must be")):
        assert launch(folder, 1, 0) == 0
    saves = [(event["step"], "error" in event) for event in read_events(folder) if event["kind"] == "save"]
    assert saves == [(10, False), (20, True), (20, False)]
    assert storage.exists(f"{folder}/checkpoints/step-00000020/checkpoint.json")

    log = Path(folder, "log.jsonl").read_text()
    assert launch(folder, 1, 0) == 0
    assert Path(folder, "log.jsonl").read_text() == log
