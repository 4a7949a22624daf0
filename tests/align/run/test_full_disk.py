"""A disk that is full costs the save that finds it so."""

import shutil
import subprocess

import pytest

from millrace import storage
from pretrain.errors import TrainingError
from tests.align.run.runs import alone, configuration, data, events, run, same, steps

ROOM = 100_000  # bytes that are left: for log lines, not for a checkpoint


@pytest.fixture
def small_disk(tmp_path):
    """Return the folder of a disk of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=False).returncode:
        pytest.skip("only root mounts a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def fill(disk):
    (disk / "ballast").write_bytes(bytes(max(0, shutil.disk_usage(disk).free - ROOM)))


def test_the_last_checkpoint_stays_and_the_run_goes_on_from_it(base, small_disk, tmp_path):
    path = data(tmp_path, "messages")
    config = configuration("sft", base, path, checkpoint={"every_steps": 1}, training={"steps": 5, "global_batch": 4})
    life = alone()

    def fills() -> None:
        if life.marks.step == 3:
            fill(small_disk)
        if life.marks.step == 4:
            (small_disk / "ballast").unlink()

    life.marks.on_step.append(fills)
    run(config, small_disk, kill_in=4, life=life)
    saves = events(small_disk, "save")
    assert [(one["step"], "No space left on device" in one.get("error", "")) for one in saves] == [
        (1, False), (2, False), (3, True),
    ]  # fmt: skip
    assert storage.list_folder(str(small_disk / "checkpoints")) == ["latest", "step-00000001", "step-00000002"]
    run(config, small_disk)
    assert steps(small_disk, "skipped") == [False] * 5
    run(configuration("sft", base, path, training={"steps": 5, "global_batch": 4}), tmp_path / "whole")
    assert same(small_disk, tmp_path / "whole")


def test_a_run_whose_last_checkpoint_is_not_saved_says_so(base, small_disk, tmp_path):
    config = configuration("sft", base, data(tmp_path, "messages"), training={"steps": 1})
    life = alone()
    life.marks.on_step.append(lambda: fill(small_disk) if life.marks.step == 1 else None)
    with pytest.raises(TrainingError, match=r"the last checkpoint is not saved: rank 0: .*No space left on device"):
        run(config, small_disk, life=life)
    assert not (small_disk / "hf").exists()
