"""Runs of real ranks: a launcher in a process of its own, of which nothing may be left at the end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
LAUNCH = """
import sys
from millrace.errors import MillraceError
from pretrain.run.launch import launch
folder, ranks, restarts, debug = sys.argv[1:5]
try:
    code = launch(folder, int(ranks), int(restarts), debug=bool(int(debug)),
                  command=(sys.executable, "-m", "tests.pretrain.run.loop"))
except MillraceError as error:
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    code = 1
sys.exit(code)
"""


def write_settings(folder, hang_seconds, **fault):
    (folder / "run.json").write_text(json.dumps({"config": {"guard": {"hang_seconds": hang_seconds}}}))
    (folder / "fault.json").write_text(json.dumps({"what": "none", **fault}))


class Run:
    """A launcher with its ranks: ours, or a command that takes the folder. `fault`: see tests/pretrain/run/loop.py."""

    def __init__(self, folder, ranks=2, restarts=0, debug=False, hang_seconds=120.0, command=None, **fault):
        ours = [sys.executable, "-c", LAUNCH, folder, str(ranks), str(restarts), str(int(debug))]
        self.folder = folder
        write_settings(folder, hang_seconds, **fault)
        self.process = subprocess.Popen(
            [*command, folder] if command else ours,
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "MILLRACE_TEST": str(folder)},
        )  # fmt: skip

    def wait(self):
        """Return the exit code and everything that was printed."""
        printed, _ = self.process.communicate(timeout=280)
        return self.process.returncode, printed

    def wait_for_step(self, step):
        log = self.folder / "log.jsonl"
        wait_until(lambda: log.exists() and f'"step": {step},' in log.read_text())

    def steps(self):
        return [json.loads(line) for line in (self.folder / "log.jsonl").read_text().splitlines()]

    def events(self):
        return [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]

    def log(self, rank):
        return (self.folder / f"ranks/rank-{rank:03}.log").read_text()

    def left(self):
        """Return the processes of this run that live: they all carry its variable."""
        return [p for p in psutil.process_iter() if self._is_ours(p)]

    def _is_ours(self, process):
        try:
            return process.environ().get("MILLRACE_TEST") == str(self.folder) and process.status() != "zombie"
        except (psutil.Error, OSError):
            return False

    def clean_up(self):
        for process in self.left():
            process.send_signal(signal.SIGKILL)
        self.process.stdout.close()
        self.process.wait()


def wait_until(true, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def run(tmp_path):
    """Start runs; at the end, none of their processes may live."""
    runs = []

    def start(**settings):
        folder = tmp_path / f"run{len(runs)}"
        folder.mkdir(exist_ok=True)
        runs.append(Run(folder, **settings))
        return runs[-1]

    yield start
    try:
        for one in runs:
            wait_until(lambda one=one: not one.left(), 20)
    finally:
        for one in runs:
            one.clean_up()
