"""nvidia-resiliency-ext, where a run was started by its `ft_launcher`: a heartbeat for its monitor.

Its monitor is a process beside each rank, which ends the rank when no heartbeat comes for
`--ft-param-rank_heartbeat_timeout` seconds; the launcher then starts all ranks anew. One is sent as a step begins.
Its detection of slow GPUs by the times of their kernels needs CUDA, and is not used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from pretrain.run.marks import Marks

SOCKET = "FT_RANK_MONITOR_IPC_SOCKET"  # set by ft_launcher, for each rank


@contextmanager
def heartbeats(marks: Marks) -> Iterator[None]:
    """Send a heartbeat as each step begins, while the block runs; do nothing where no ft_launcher started this rank."""
    if SOCKET not in os.environ:
        yield
        return
    from nvidia_resiliency_ext.fault_tolerance import RankMonitorClient

    client = RankMonitorClient()
    client.init_workload_monitoring()
    marks.on_step.append(client.send_heartbeat)
    try:
        yield
    finally:
        marks.on_step.remove(client.send_heartbeat)
        client.shutdown_workload_monitoring()
