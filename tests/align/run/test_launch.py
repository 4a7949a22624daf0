"""Runs by the launcher: ranks that are processes, signals, and ranks that are lost."""

import os

import psutil
import pytest

from align.errors import RewardError
from align.run.start import prepare, start
from millrace.progress import Progress
from tests.align.run.runs import CPU, configuration, data, events, lines, steps
from tests.pretrain.run import runs

REWARDS = {"rewards": [{"pattern": {"tokens": list(range(20, 60))}}]}


class AfterStep(runs.AfterStep):
    """Calls `act` with the process of a rank, once, when the run has logged a step."""

    def _process(self):
        for process in psutil.Process(os.getpid()).children(recursive=True):
            ranked = process.environ().get("RANK") == str(self.rank)
            if ranked and "align.run.worker" in " ".join(process.cmdline()):
                return process
        raise AssertionError(f"no process of rank {self.rank}")


@pytest.fixture
def launched(base, tmp_path, monkeypatch):
    """Return what launches two ranks of GRPO in a folder."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def launch(restarts=0, **sections):
        given = {**REWARDS, "parallel": {"ranks": 2}, **sections}
        config = configuration("grpo", base, data(tmp_path, "prompts"), **given)
        return start(prepare(config, CPU), str(tmp_path / "run"), restarts, False, Progress())

    launch.folder = tmp_path / "run"
    return launch


@pytest.mark.slow
def test_sigterm_at_one_rank_saves_and_ends_all(launched):
    with AfterStep(str(launched.folder), 3, 1, lambda rank: rank.terminate()):
        assert launched(training={"steps": 100_000}, checkpoint={"every_steps": 2}) == 0
    last = lines(launched.folder)[-1]["step"]
    assert last >= 3
    assert [one["step"] for one in events(launched.folder, "signal")] == [last]
    saved = events(launched.folder, "save")
    assert saved[-1]["step"] == last
    assert not any("error" in one for one in saved)
    assert not (launched.folder / "hf").exists()
    assert (launched.folder / "checkpoints" / f"step-{last:08d}" / "actor" / "hf-001.pt").exists()


@pytest.mark.slow
def test_a_killed_rank_costs_the_steps_since_the_last_save(launched):
    with AfterStep(str(launched.folder), 3, 1, lambda rank: rank.kill()):
        assert launched(restarts=1, training={"steps": 40}, checkpoint={"every_steps": 2}, optimizer={"lr": 1e-2}) == 0
    assert [one["rank"] for one in events(launched.folder, "restart")] == [1]
    assert [one for one in events(launched.folder, "restore") if "goes on" in one["message"]]
    assert [line["step"] for line in lines(launched.folder) if "lr" in line] == list(range(1, 41))
    assert steps(launched.folder, "validation/reward")[-1] > 0.9
    assert (launched.folder / "hf" / "model.safetensors").exists()


@pytest.mark.slow
def test_a_reward_that_fails_on_one_rank_ends_all_with_its_line(launched):
    rewards = [{"python": {"function": "tests.align.run.user_rewards:raises"}}]
    with pytest.raises(RewardError, match=r"reward python .* failed at completion 0 .*KeyError: 'answer'"):
        launched(rewards=rewards)
