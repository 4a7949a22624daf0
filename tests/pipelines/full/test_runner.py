"""The runner of steps: what is done stays done, what was killed goes on, what changed begins anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.full import runner
from pipelines.full.plan import Step
from pipelines.full.runner import Record, StepError

APPEND = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.parent.mkdir(parents=True, exist_ok=True); "


def step(name: str, folder: Path, needs: tuple[str, ...] = (), more: str = "") -> Step:
    """A step that adds a line to its file."""
    code = APPEND + "p.open('a').write('done\\n')" + (f"; {more}" if more else "")
    command = (sys.executable, "-c", code, str(folder / name / "file"))
    return Step(name, f"makes {name}", command, f"{name}/file", needs)


def ran(steps: list[Step], folder: Path) -> list[str]:
    lines: list[str] = []
    runner.run(steps, str(folder), lines.append)
    return lines


def lines_of(folder: Path, name: str) -> int:
    return len((folder / name / "file").read_text().splitlines())


def test_a_step_that_is_done_is_not_done_again(tmp_path):
    steps = [step("one", tmp_path), step("two", tmp_path, ("one",))]
    first, second = ran(steps, tmp_path), ran(steps, tmp_path)
    assert [line.split()[0] for line in first] == ["one", "two"]
    assert all(line.endswith("done before") for line in second)
    assert (lines_of(tmp_path, "one"), lines_of(tmp_path, "two")) == (1, 1)


def test_a_changed_command_begins_its_step_anew_and_those_that_need_it(tmp_path):
    steps = [step("one", tmp_path), step("two", tmp_path, ("one",)), step("apart", tmp_path)]
    ran(steps, tmp_path)
    (tmp_path / "two" / "old").write_text("of the last time")
    again = ran([step("one", tmp_path, more="print(1)"), *steps[1:]], tmp_path)
    assert [line.endswith("done before") for line in again] == [False, False, True]
    assert lines_of(tmp_path, "two") == 1
    assert not (tmp_path / "two" / "old").exists()


def test_a_changed_recipe_or_code_begins_its_step_anew(tmp_path, monkeypatch):
    from importlib import resources

    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    (tmp_path / "code.py").write_text("one")
    shaped = replace(step("one", tmp_path), shaping=("code.py",))
    ran([shaped], tmp_path)
    (tmp_path / "code.py").write_text("other")
    assert not ran([shaped], tmp_path)[0].endswith("done before")
    assert ran([shaped], tmp_path)[0].endswith("done before")


def test_the_key_of_a_step_is_the_same_wherever_its_folder_lies(tmp_path):
    for name in ("here", "there"):
        ran([step("one", tmp_path / name)], tmp_path / name)
    here, there = (runner.read(str(tmp_path / name), "one") for name in ("here", "there"))
    assert here is not None
    assert there is not None
    assert here.key == there.key


def test_a_step_whose_files_were_deleted_is_done_again(tmp_path):
    ran([step("one", tmp_path)], tmp_path)
    (tmp_path / "one" / "file").unlink()
    ran([step("one", tmp_path)], tmp_path)
    assert lines_of(tmp_path, "one") == 1


def test_a_step_that_fails_says_the_last_line_of_its_log_and_is_tried_again_where_it_was(tmp_path):
    failing = step(
        "one", tmp_path, more="print('no space left'); sys.exit(1 if p.read_text().count('done') == 1 else 0)"
    )
    with pytest.raises(StepError, match=r"step one ended with code 1: no space left \(its log: .*one\.log\)"):
        ran([failing], tmp_path)
    assert "resumed" in ran([failing], tmp_path)[0]
    assert lines_of(tmp_path, "one") == 2  # its folder was left as it was


def test_a_step_that_makes_nothing_has_not_ended_well_whatever_its_code(tmp_path):
    with pytest.raises(StepError, match="step one ended with code 0: it said nothing"):
        ran([Step("one", "nothing", (sys.executable, "-c", ""), "one/file")], tmp_path)


def test_seconds_of_all_attempts_are_counted(tmp_path):
    Record(runner._key(step("one", tmp_path), str(tmp_path), []), [], attempts=1, seconds=100.0).write(
        str(tmp_path), "one"
    )
    ran([step("one", tmp_path)], tmp_path)
    known = runner.read(str(tmp_path), "one")
    assert known is not None
    assert (known.attempts, known.done) == (2, True)
    assert known.seconds > 100
    assert known.cpu_seconds > 0


def test_two_runs_of_one_folder_are_refused(tmp_path):
    with runner._alone(str(tmp_path)), pytest.raises(StepError, match="is in use: process"):
        ran([step("one", tmp_path)], tmp_path)


SLOW = """
import sys
from pipelines.full import runner
from pipelines.full.plan import Step
folder = sys.argv[1]
code = "import os, time, pathlib; pathlib.Path(%r).write_text(str(os.getpid())); time.sleep(60)" % (folder + "/pid")
runner.run([Step("one", "sleeps", (sys.executable, "-c", code), "one/file")], folder, print)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_step_outlives_the_runner(tmp_path, number):
    started = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path)], stderr=subprocess.DEVNULL)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert started.poll() is None
        time.sleep(0.05)
    started.send_signal(number)
    started.wait(30)
    child = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 20
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
