"""One rank: the same process under our launcher, torchrun, Slurm and Kubernetes.

    python -m pretrain.run.worker FOLDER

FOLDER/run.json holds the configuration under "config"; other packages run jobs of their own by `main`.

Exit codes: 0 done, or stopped by a signal and saved; 1 failed; 64 a user's mistake, which a restart would not mend;
75 training stood still. What went wrong is in FOLDER/ranks/error-NNN.json, tracebacks and stacks in
FOLDER/ranks/rank-NNN.log.
"""

from __future__ import annotations

import atexit
import faulthandler
import importlib
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import IO, Any

from millrace import storage
from millrace.config import build
from millrace.errors import MillraceError
from pretrain.config import Config, Guard
from pretrain.errors import TrainingError
from pretrain.run import resiliency
from pretrain.run.log import Event, append_event
from pretrain.run.marks import Marks
from pretrain.run.place import Place, place, standard
from pretrain.run.ranks import DEBUG, DONE, FAILED, HANG, LAUNCHED, MISTAKE, Failure, rank_log
from pretrain.run.stop import Stop
from pretrain.run.stragglers import Stragglers
from pretrain.run.watchdog import FIRST_STEP, Hang, Watchdog


@dataclass(frozen=True)
class Life:
    """What a training loop needs to stay alive: where it is, where it marks its way, and when it must stop."""

    place: Place
    marks: Marks  # mark(step, phase) as each phase begins
    stop: Stop  # agreed(step) as each step begins
    stragglers: Stragglers  # window(marks.take_own_seconds(), steps) every so many steps
    store: Any  # torch's, of all ranks


@dataclass(frozen=True)
class Job:
    """What ranks do: a configuration, which has a `guard`, and the function it is for."""

    config: type[Any]
    train: Callable[[Any, str, Life], None]


def run(job: Job, folder: str) -> int:
    """Join the ranks, train, and return the exit code.

    Raises SettingsError where this process is no rank, TrainingError where another job trains in the folder.
    """
    variables = standard(os.environ)
    os.environ.update(variables)
    here = place(variables)
    failure = storage.join(folder, "ranks", f"error-{here.rank:03}.json")
    with _alone(folder, here), storage.appending(rank_log(folder, here.rank)) as log:
        faulthandler.enable(log)  # the stack of a segmentation fault
        try:
            stop = Stop()
            stop.install()  # before torch is imported, which takes seconds
            config = build(job.config, storage.read_json(storage.join(folder, "run.json"))["config"])
            with joined(config.guard, folder, here, stop, log) as life:
                job.train(config, folder, life)
            return DONE
        except Exception as error:
            told = Failure.of(error)
            storage.write_json(failure, told.as_dict())
            log.write(traceback.format_exc().encode())
            if LAUNCHED not in os.environ or DEBUG in os.environ:  # else the launcher says it, once
                print(traceback.format_exc() if DEBUG in os.environ else f"millrace: {told.message}", file=sys.stderr)
            return MISTAKE if isinstance(error, MillraceError) else FAILED
        finally:
            faulthandler.disable()


@contextmanager
def _alone(folder: str, here: Place) -> Iterator[None]:
    """Hold the run's lock on rank 0, where no launcher of ours does: two jobs would write over each other's files."""
    with ExitStack() as held:
        if here.rank == 0 and LAUNCHED not in os.environ:
            try:
                held.enter_context(storage.lock(storage.join(folder, "lock"), "a training run"))
            except BlockingIOError as error:
                raise TrainingError(f"{folder} is in use: {error}") from None
        yield


@contextmanager
def joined(guard: Guard, folder: str, here: Place, stop: Stop, log: IO[bytes]) -> Iterator[Life]:
    """Meet the other ranks: store, watchdog, signals and torch's default process group, which ends with the block."""
    import torch
    import torch.distributed as dist

    seconds = guard.hang_seconds
    # torchrun's store outlives the ranks: what was said to those before must not be heard by these
    attempt = f"attempt {here.restarts}"
    given, _, _ = next(dist.rendezvous("env://", timeout=timedelta(seconds=FIRST_STEP * seconds)))
    store = dist.PrefixStore(attempt, given)
    stop.meet(store)
    marks = Marks()
    watching = dist.TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), None, False,
                             timeout=timedelta(seconds=max(seconds / 2, 5.0)))  # fmt: skip
    own = dist.PrefixStore(attempt, watching)

    def ends(hang: Hang, first: bool) -> None:
        _end(hang, first, folder, here)

    with Watchdog(own, here.rank, here.world, marks, seconds, log, ends), resiliency.heartbeats(marks):
        if torch.cuda.is_available():
            torch.cuda.set_device(here.local_rank)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=store, rank=here.rank, world_size=here.world,
            timeout=timedelta(seconds=2 * FIRST_STEP * seconds),  # the watchdog comes first, and names a rank
        )  # fmt: skip
        yield Life(here, marks, stop, Stragglers(store, here.rank, here.world, guard.straggler), store)
        dist.barrier()  # no rank closes its end while another still reads
        dist.destroy_process_group()


def _end(hang: Hang, first: bool, folder: str, here: Place) -> None:
    """End this process at once, from the watchdog's thread, with what was found on disk."""
    told = Failure("TrainingError", hang.message, False, hang.ranks)
    storage.write_json(storage.join(folder, "ranks", f"error-{here.rank:03}.json"), told.as_dict())
    if first:
        append_event(folder, Event("hang", hang.step, {"ranks": list(hang.ranks), "message": hang.message}))
        if LAUNCHED not in os.environ:
            print(f"millrace: {hang.message}", file=sys.stderr, flush=True)
    leave(HANG)


def leave(code: int) -> None:
    """Exit now, without waiting for threads or other ranks, and leave no child behind."""
    import psutil

    for child in psutil.Process().children(recursive=True):  # a checkpoint's writer would outlive us
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(job: Job) -> None:
    """Run the rank this process is, and exit."""
    if os.environ.get(LAUNCHED, str(os.getppid())) != str(os.getppid()):
        sys.exit(FAILED)  # killed between our start and its warden's knowledge of us
    for library in ("megatron", "torch"):  # they warn of what is absent here, and of their own insides
        warnings.filterwarnings("ignore", module=library)
    try:
        code = run(job, sys.argv[1])
    except MillraceError as error:  # before there was a rank to write it down
        print(f"millrace: {error}", file=sys.stderr)
        code = MISTAKE
    if code == DONE:
        _finish()
    leave(code)  # a process group that lost a rank may never close


def _finish() -> None:
    """Let what is still being written end, as an interpreter's end does.

    The interpreter itself is not ended: a daemon thread inside torch's C++ would then abort the process.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # joins threads that are no daemons, and executors' workers
    atexit._run_exitfuncs()


if __name__ == "__main__":
    # imported here, where signals are caught: it brings torch and Megatron
    main(Job(Config, lambda *given: importlib.import_module("pretrain.run.train").train(*given)))
