import signal
import sys

import psutil
import pytest

from millrace import storage
from tests.pretrain.run.conftest import wait_until


def unbroken(steps=8):
    """The losses of two ranks that are never disturbed, in plain Python."""
    import math

    value, states = 0.0, []
    for step in range(1, steps + 1):
        value += math.sin(value + step) + math.sin(value + 1 + step)
        states.append({"step": step, "value": pytest.approx(value, abs=1e-12)})
    return states


def test_a_killed_rank_is_named_and_the_restarted_run_has_the_losses_of_an_unbroken_one(run):
    one = run(restarts=1, what="kill", rank=1, step=4, phase="forward_backward")
    code, printed = one.wait()
    assert code == 0, printed
    assert "rank 1 was killed by signal 9" in printed
    assert "restart 1 of 1" in printed
    assert one.steps() == unbroken()
    event = one.events()[-1]
    assert (event["kind"], event["step"], event["rank"], event["restart"]) == ("restart", 3, 1, 1)
    assert not one.left()


def test_a_users_mistake_is_one_line_and_nothing_is_restarted(run):
    one = run(restarts=3, what="mistake", rank=1, step=2, phase="data")
    assert one.wait() == (1, "ShardError: the shards are of another vocabulary\n")
    assert not (one.folder / "events.jsonl").exists()
    assert "in mistake" in one.log(1)  # the traceback is where it can be found


def test_ctrl_c_saves_and_ends_after_the_same_step_on_all_ranks(run):
    one = run(what="pace", steps=100_000, rank=0, phase="data")
    one.wait_for_step(3)
    one.process.send_signal(signal.SIGINT)
    code, printed = one.wait()
    assert code == 0, printed
    last = one.steps()[-1]["step"]
    assert printed == f"rank 0 ends after step {last}\n"
    assert f"rank 1 ends after step {last}" in one.log(1)


def test_no_process_outlives_a_launcher_that_is_killed(run):
    one = run(ranks=2, what="freeze", rank=1, step=3, phase="data")
    one.wait_for_step(2)
    wait_until(lambda: any(p.status() == psutil.STATUS_STOPPED for p in one.left()))
    assert len(one.left()) >= 6  # launcher, warden, two ranks and a child of each
    one.process.kill()
    wait_until(lambda: not one.left())


@pytest.mark.slow
def test_a_rank_that_ends_without_a_word_is_named_with_its_code(run):
    one = run(what="exit", rank=1, step=3, phase="data")
    code, printed = one.wait()
    assert (code, printed.splitlines()[-1]) == (
        1, "TrainingError: rank 1 ended with code 3; the same command resumes",
    )  # fmt: skip


@pytest.mark.slow
def test_of_two_ranks_that_fail_the_first_one_is_named_and_restarts_are_counted(run):
    one = run(restarts=1, what="broken", rank=1, step=2, phase="data", attempts=2)
    code, printed = one.wait()
    assert code == 1
    assert "rank 1 failed: ValueError: a fault of the code (traceback in " in printed.splitlines()[-1]
    assert printed.endswith("after 1 of 1 restarts\n")
    assert "Traceback" not in printed
    assert "in broken" in one.log(1)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_debug_shows_the_traceback(run, rank):
    code, printed = run(debug=True, what="broken", rank=rank, step=2, phase="data").wait()
    assert code == 1
    assert "in broken" in printed


@pytest.mark.slow
def test_a_second_ctrl_c_kills(run):
    one = run(what="sleeping_loader", rank=1, step=3, phase="data")
    one.wait_for_step(2)
    one.process.send_signal(signal.SIGINT)
    with pytest.raises(AssertionError):  # it waits for the ranks, which cannot save
        wait_until(lambda: one.process.poll() is not None, 2)
    one.process.send_signal(signal.SIGINT)
    code, _ = one.wait()
    assert code != 0
    assert not one.left()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_first_step_ends_the_run_without_an_error(run, number):
    one = run(steps=100_000)
    wait_until(lambda: len(one.left()) >= 4)  # the ranks are there, and import
    one.process.send_signal(number)
    code, printed = one.wait()
    assert code == 0, printed


def test_a_second_job_in_a_folder_is_refused_and_leaves_no_trace(run, tmp_path):
    with storage.lock(str(tmp_path / "run0" / "lock"), "a training run"):
        one = run(command=["env", "RANK=0", "WORLD_SIZE=1", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=1",
                           sys.executable, "-m", "tests.pretrain.run.loop"])  # fmt: skip
        assert one.wait() == (64, f"millrace: {one.folder} is in use: a training run\n")
    assert not (one.folder / "ranks").exists()


def test_a_rank_that_is_done_ends_although_threads_still_call_into_torch(run):
    one = run(what="threads", rank=1, step=2, phase="data")
    code, printed = one.wait()
    assert code == 0, printed
    assert one.steps() == unbroken()
    assert not one.left()
