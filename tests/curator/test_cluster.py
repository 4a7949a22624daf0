"""Where tasks run: the same results in this process and on workers, and errors that say what to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from curator.cluster import Cluster, choose_device, open_cluster
from curator.errors import DeviceError, RunError
from tests import strict_cudf


def square(number: int) -> int:
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise KeyError("three")
    return number


def die_at_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_in_this_process_results_come_in_order():
    with open_cluster(0, None, "cpu") as cluster:
        assert cluster == Cluster(None, 1)
        assert list(cluster.map(square, [3, 1, 2])) == [(0, 9), (1, 1), (2, 4)]
        with pytest.raises(KeyError, match="three"):
            list(cluster.map(fail_at_three, [1, 3, 2]))


@pytest.fixture(scope="module")
def local():
    with open_cluster(2, None, "cpu") as cluster:
        yield cluster


def test_on_workers_every_result_comes_with_its_place(local):
    assert local.workers == 2
    assert local.dashboard.startswith("http://127.0.0.1:")
    assert sorted(local.map(square, list(range(50)))) == [(i, i * i) for i in range(50)]
    assert list(local.map(square, [])) == []
    assert sorted(local.map(square, [2, 2])) == [(0, 4), (1, 4)]  # equal items are two tasks


def test_an_error_on_a_worker_is_raised_as_it_is(local):
    with pytest.raises(KeyError, match="three"):
        list(local.map(fail_at_three, [1, 3, 2]))
    assert list(local.map(square, [4])) == [(0, 16)]


def test_an_item_that_kills_its_workers_is_named(local):
    with pytest.raises(RunError, match=r"killed its worker four times: item 3; out of memory\?"):
        list(local.map(die_at_three, [3]))
    assert sorted(local.map(square, [4, 5])) == [(0, 16), (1, 25)]


def test_workers_leave_ctrl_c_to_the_command(local):
    for handler in local.client.run(lambda: signal.getsignal(signal.SIGINT) == signal.SIG_IGN).values():
        assert handler


def test_a_scheduler_by_address(local):
    local.client.wait_for_workers(2)
    with open_cluster(None, local.client.scheduler.address, "cpu") as cluster:
        assert cluster.workers == 2
        assert list(cluster.map(square, [3])) == [(0, 9)]


def test_an_address_that_is_none_is_named():
    with pytest.raises(RunError, match="no Dask scheduler answers at nonsense"), open_cluster(0, "nonsense", "cpu"):
        pass


def test_without_a_gpu_auto_is_the_cpu_and_gpu_is_an_error():
    said: list[str] = []
    assert choose_device("auto", said.append) == choose_device("cpu") == "cpu"
    assert said == []
    with pytest.raises(DeviceError, match="--device is 'tpu'; it must be one of auto, cpu, gpu"):
        choose_device("tpu")


def test_a_gpu_is_taken_where_there_is_one(monkeypatch):
    strict_cudf.install(monkeypatch.setitem)
    assert choose_device("auto") == choose_device("gpu") == "gpu"
    assert choose_device("cpu") == "cpu"


def test_a_library_without_a_device_is_no_gpu(monkeypatch):
    """cudf imports without a driver; only asking for devices tells."""
    import sys
    import types

    strict_cudf.install(monkeypatch.setitem)
    runtime = types.SimpleNamespace(getDeviceCount=lambda: 0)
    cupy = strict_cudf.module("cupy", cuda=types.SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    said: list[str] = []
    assert choose_device("auto", said.append) == "cpu"
    assert said == ["note: RAPIDS is installed, but no CUDA device is there; running on the CPU"]
    with pytest.raises(DeviceError, match="--device gpu: no CUDA device is there"):
        choose_device("gpu")


BURIED_SLOWLY = """
from distributed.nanny import Nanny
from curator.cluster import open_cluster

kill = Nanny.kill
Nanny.kill = lambda self, timeout=5, reason="": kill(self, timeout=0.001, reason=reason)  # as on a busy machine
if __name__ == "__main__":
    with open_cluster(1, None, "cpu") as cluster:
        print(dict(cluster.map(abs, [-1, -2])))
"""


@pytest.mark.slow
def test_a_worker_that_is_gone_late_is_no_error_of_a_run_that_is_done(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(BURIED_SLOWLY)
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "{0: 1, 1: 2}\n"), ended.stderr
    assert "TimeoutError" not in ended.stderr
