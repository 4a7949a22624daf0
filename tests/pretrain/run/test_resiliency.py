import sys

import pytest


@pytest.mark.peer
@pytest.mark.slow
def test_ft_launcher_restarts_a_rank_whose_heartbeats_end(run, tmp_path):
    """Its monitor does, not our watchdog: that one would wait for ten minutes."""
    pytest.importorskip("nvidia_resiliency_ext", reason="nvidia-resiliency-ext is not installed")
    limits = tmp_path / "ft.yaml"
    limits.write_text("fault_tolerance: {initial_rank_heartbeat_timeout: 120, rank_heartbeat_timeout: 15}\n")
    command = [sys.executable, "-m", "nvidia_resiliency_ext.fault_tolerance.launcher", "--standalone",
               "--nproc-per-node=2", "--max-restarts=1", f"--fault-tol-cfg-path={limits}",
               "-m", "tests.pretrain.run.loop"]  # fmt: skip
    one = run(command=command, hang_seconds=600.0, what="sleeping_loader", rank=1, step=4, phase="data")
    code, printed = one.wait()
    assert code == 0, printed
    assert "Did not get subsequent heartbeat" in printed
    assert "rank 0 ends after step 8" in printed
    assert [line["step"] for line in one.steps()] == list(range(1, 9))
    one.clean_up()  # it kills a rank, but not what that had started
