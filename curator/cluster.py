"""Where tasks run: in this process, on a local Dask cluster, on any scheduler, or on GPUs.

The only module beside `kernels/gpu*.py` that imports RAPIDS.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from curator.errors import DeviceError, RunError

T = TypeVar("T")
R = TypeVar("R")

DEVICES = ("auto", "cpu", "gpu")
WORKERS_WAIT = 60.0  # seconds; a batch system may still be starting them


@dataclass(frozen=True)
class Cluster:
    """Runs a function on many items; `client` is a distributed.Client, or None for this process."""

    client: Any
    workers: int
    dashboard: str = ""

    def map(self, function: Callable[[T], R], items: list[T]) -> Iterator[tuple[int, R]]:
        """Yield (position, result) as results come in. A worker that dies is replaced and its tasks
        run again (three times each at most); an error of `function` stops the others and is raised."""
        if self.client is None:
            for position, item in enumerate(items):
                yield position, function(item)
            return
        from distributed import as_completed
        from distributed.scheduler import KilledWorker

        futures = self.client.map(function, items, key=f"{function.__name__}-{uuid.uuid4().hex}", pure=False)
        place = {future.key: position for position, future in enumerate(futures)}
        try:
            for future, result in as_completed(futures, loop=self.client.loop, with_results=True):
                yield place[future.key], result
        except KilledWorker as error:
            raise RunError(
                f"a part killed its worker four times: item {items[place[str(error.task)]]!r}; out of memory?"
            ) from None
        finally:
            self.client.cancel(futures)


@contextlib.contextmanager
def open_cluster(workers: int | None, scheduler: str | None, device: str) -> Iterator[Cluster]:
    """Give a cluster. workers=0: this process, no Dask; None: one a core (or a GPU)."""
    if scheduler:
        yield from _connected(scheduler)
    elif workers == 0:
        yield Cluster(None, 1)
    elif device == "gpu":
        yield from _local("LocalCUDACluster", _dask_cuda, n_workers=workers)
    else:
        import distributed

        yield from _local(
            "LocalCluster",
            lambda: distributed,
            n_workers=workers or len(os.sched_getaffinity(0)),
            threads_per_worker=1,
            silence_logs=logging.CRITICAL,
        )


def _connected(address: str) -> Iterator[Cluster]:
    from distributed import Client

    try:
        client = Client(address, timeout="10s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise RunError(f"no Dask scheduler answers at {address}: {error}") from None
    with client:
        try:
            client.wait_for_workers(1, timeout=WORKERS_WAIT)
        except TimeoutError:
            raise RunError(f"the Dask scheduler at {address} has no workers after {WORKERS_WAIT:.0f} s") from None
        yield Cluster(client, len(client.scheduler_info()["workers"]), client.dashboard_link)


def _local(kind: str, module: Callable[[], Any], **options: Any) -> Iterator[Cluster]:
    import dask
    from distributed import Client

    settings = {
        "distributed.worker.daemon": False,  # a worker may start processes of its own
        "distributed.comm.timeouts.connect": "60s",
        "distributed.admin.tick.limit": "1h",  # a kernel may hold a worker's thread for a while
        "distributed.worker.preload": [*dask.config.get("distributed.worker.preload"), __name__],
    }
    with dask.config.set(settings):
        cluster = getattr(module(), kind)(dashboard_address="127.0.0.1:0", **options)
        try:
            with Client(cluster, set_as_default=False) as client:
                yield Cluster(client, len(cluster.workers), cluster.dashboard_link)
        finally:
            _close(cluster)


def _close(cluster: Any) -> None:
    """Close a local cluster, whose work is done or lost by now.

    Dask kills workers that have not ended after four seconds, and raises where they are not gone a second later: on a
    busy machine the system takes longer to bury a large process. What is killed needs no wait.
    """
    with contextlib.suppress(TimeoutError):
        cluster.close()


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the one that started this worker.

    Dask calls it, by this name, in every worker that it starts here.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def choose_device(device: str, say: Callable[[str], None] = lambda line: None) -> str:
    """Return cpu or gpu for auto, cpu or gpu. Raises DeviceError where a GPU is asked for in vain."""
    if device not in DEVICES:
        raise DeviceError(f"--device is {device!r}; it must be one of {', '.join(DEVICES)}")
    if device == "cpu":
        return "cpu"
    missing = _missing_gpu()
    if device == "gpu" and missing:
        raise DeviceError(f"--device gpu: {missing}")
    if missing and importlib.util.find_spec("cudf") is not None:  # whoever installed it expects it to be used
        say(f"note: RAPIDS is installed, but {missing}; running on the CPU")
    return "cpu" if missing else "gpu"


def _missing_gpu() -> str:
    """Say what is missing for running on a GPU; an empty string where nothing is.

    That cudf imports proves nothing: it does so without a driver.
    """
    for name in ("cudf", "dask_cuda"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed; pip install 'millrace[gpu]' (CUDA 13, Linux)"
    try:
        count = importlib.import_module("cupy").cuda.runtime.getDeviceCount()
    except Exception as error:
        return f"no usable CUDA device ({type(error).__name__}: {error})"
    return "" if count else "no CUDA device is there"


def cudf() -> Any:
    """Return the cudf module, or raise DeviceError with what to install."""
    try:
        return importlib.import_module("cudf")
    except ImportError:
        raise DeviceError("cudf is not installed; pip install 'millrace[gpu]' (CUDA 13, Linux)") from None


def _dask_cuda() -> Any:
    return importlib.import_module("dask_cuda")
