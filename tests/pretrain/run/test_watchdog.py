import socket
import sys
import threading

import pytest

from pretrain.run.marks import Marks
from pretrain.run.ranks import HANG as HANG_CODE
from pretrain.run.watchdog import Standing, Watchdog, judge


def standing(rank, step=5, count=1, waits=True):
    return Standing(rank, step, "forward_backward", count, f"model.py:{rank} in f", waits, 0)


def test_a_silent_rank_is_behind_whatever_the_others_do():
    hang = judge([standing(0), standing(1, step=4), standing(2)], {2, 3}, 60)
    assert hang.ranks == (2, 3)
    assert hang.message == (
        "no progress for 60 s: rank 2 does not answer (last seen step 5 in forward_backward (model.py:2 in f));"
        " rank 3 does not answer: stopped, dead, or held in C code"
    )


@pytest.mark.parametrize(
    ("standings", "ranks"),
    [
        ([standing(0), standing(1, step=4), standing(2)], (1,)),
        ([standing(0), standing(1), standing(2, count=0)], (2,)),
        ([standing(0, waits=False), standing(1), standing(2)], (0,)),
        ([standing(0, count=0), standing(1, waits=False), standing(2)], (0,)),  # fewer marks outweigh waiting
        ([standing(0), standing(1)], (0, 1)),  # all wait: none can be told from the others
        ([standing(0, waits=False)], (0,)),
    ],
)
def test_the_rank_with_fewest_marks_is_behind_else_the_one_that_does_not_wait(standings, ranks):
    assert judge(standings, set(), 60).ranks == ranks


@pytest.mark.parametrize("over", [False, True])
def test_who_has_ended_training_may_stand_still(tmp_path, over):
    from torch.distributed import HashStore

    ended, marks = threading.Event(), Marks()
    for step in (1, 2):
        marks.mark(step, "data")
    if over:
        marks.end()
    with (tmp_path / "log").open("wb") as log, Watchdog(HashStore(), 0, 1, marks, 0.5, log, lambda *_: ended.set()):
        assert ended.wait(2 if over else 60) is not over


# seconds until a rank hangs: long enough for a rank of a loaded machine to answer in half of them
HANG = 8.0


def hanging(run, ranks=2, restarts=0, **fault):
    one = run(ranks=ranks, restarts=restarts, hang_seconds=HANG, **fault)
    code, printed = one.wait()
    return one, code, printed


@pytest.mark.slow
def test_a_stopped_rank_is_named_and_the_job_goes_on_without_its_ghost(run):
    one, code, printed = hanging(run, restarts=1, what="freeze", rank=1, step=4, phase="forward_backward")
    assert code == 0, printed
    assert "rank 1 does not answer (last seen step " in printed
    assert [event["kind"] for event in one.events()] == ["hang", "restart"]
    assert one.events()[0]["ranks"] == [1]
    assert one.steps()[-1]["step"] == 8
    assert "in all_reduce" in one.log(0)  # the stacks of the rank that waited


def test_a_rank_that_sleeps_in_its_loader_is_named_with_the_line_it_is_on(run):
    one, code, printed = hanging(run, what="sleeping_loader", rank=0, step=3, phase="data")
    assert code == 1
    assert "rank 0 at step 3 in data (run/loop.py:" in printed.splitlines()[-1]
    assert "in sleeping_loader) is stuck" in printed.splitlines()[-1]
    assert one.events()[0]["ranks"] == [0]
    assert "in sleeping_loader" in one.log(0)


@pytest.mark.slow
def test_a_rank_in_an_endless_loop_is_told_from_those_that_wait_in_the_same_phase(run):
    one, code, printed = hanging(run, ranks=3, what="endless_loop", rank=1, step=3, phase="forward_backward")
    assert code == 1
    assert "in endless_loop) is stuck" in printed.splitlines()[-1]
    assert one.events()[0]["ranks"] == [1]
    assert "in endless_loop" in one.log(1)


@pytest.mark.slow
def test_a_rank_held_in_c_code_is_named(run):
    one, code, printed = hanging(run, what="hold_the_lock", rank=1, step=3, phase="data")
    assert code == 1
    assert "rank 1 does not answer" in printed.splitlines()[-1]
    assert one.events()[0]["ranks"] == [1]


@pytest.mark.slow
def test_torchrun_starts_the_same_ranks_and_a_stopped_one_is_named(run):
    """Under torchrun the agent holds the store; the rank that is not stopped ends all of them."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    one = run(command=[*torchrun, "-m", "tests.pretrain.run.loop"], hang_seconds=HANG,
              what="freeze", rank=0, step=3, phase="data")  # fmt: skip
    code, printed = one.wait()
    assert code != 0
    assert "millrace: no progress for" in printed
    assert one.events()[0]["ranks"] == [0]
    one.clean_up()  # torchrun kills a rank, but not what that had started


@pytest.mark.slow
def test_torchrun_starts_ranks_anew_and_they_do_not_heed_what_was_said_to_those_before(run):
    """The agent's store outlives the ranks, and holds the verdict that ended them."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                "--max-restarts", "1"]  # fmt: skip
    one = run(command=[*torchrun, "-m", "tests.pretrain.run.loop"], hang_seconds=HANG,
              what="sleeping_loader", rank=1, step=3, phase="data")  # fmt: skip
    code, printed = one.wait()
    assert code == 0, printed
    assert [event["kind"] for event in one.events()] == ["hang"]
    assert one.steps()[-1]["step"] == 8
    one.clean_up()


SLURM = """
export SLURM_NTASKS=2 SLURM_NTASKS_PER_NODE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$1 GLOO_SOCKET_IFNAME=lo
SLURM_PROCID=0 SLURM_LOCALID=0 $0 -m tests.pretrain.run.loop $2 & stopped=$!
SLURM_PROCID=1 SLURM_LOCALID=1 $0 -m tests.pretrain.run.loop $2 & other=$!
wait $other; code=$?
kill -9 $stopped
exit $code
"""


@pytest.mark.slow
def test_rank_0_is_named_where_it_holds_the_store_and_is_stopped(run):
    """Tasks as srun starts them: the store is in rank 0, and stops with it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = run(command=["bash", "-c", SLURM, sys.executable, str(port)], hang_seconds=HANG,
              what="freeze", rank=0, step=3, phase="data")  # fmt: skip
    code, printed = one.wait()
    assert code == HANG_CODE, printed
    assert "does not answer: rank 0 is stopped or dead" in printed
    assert one.events()[0]["ranks"] == [0]
    one.clean_up()
