"""The whole demo on a small made site: from crawl to answer, and on where it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from millrace import storage
from pipelines.full import runner
from pipelines.full.plan import MODELS, Wishes, steps
from tests.pipelines.full import site

ROOT = Path(__file__).parents[3]
SECTIONS = ("funnel", "curves", "evaluation", "answers", "data", "sizes", "seconds", "environment")


def start(folder: Path, more: dict[str, str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipelines.cli", "demo", "--full", "--output", str(folder), "--workers", "0"]
    command += [word for one in site.SETTINGS for word in ("--set", one)]
    return subprocess.Popen(command, env=os.environ | more, cwd=ROOT, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_demo_that_was_killed_goes_on_to_an_answer_and_is_then_done(tmp_path):
    (tmp_path / "cache").mkdir()
    cache, folder = site.made(tmp_path / "cache"), tmp_path / "full"
    killed = start(folder, cache)
    while not (folder / "pretrain" / "checkpoints" / "latest").exists():
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()

    lines = start(folder, cache).communicate()[0].splitlines()
    made = steps(str(folder), Wishes())
    assert [line.split()[0] for line in [*lines[:-1]]] == [one.name for one in made], lines
    records = {one.name: runner.read(str(folder), one.name) for one in made}
    assert all(record is not None and record.done for record in records.values())
    assert [name for name, record in records.items() if record.attempts > 1] == ["pretrain"]
    assert lines[0].endswith("done before")

    for name in MODELS:
        found = storage.read_json(f"{folder}/evaluation/{name}.json")
        assert set(found["tasks"]) == {"documents", "choices", "pairs", "tasks"}
        assert 0 < found["tasks"]["documents"]["measures"]["bits_per_byte"]["value"] < 20
    served = storage.read_json(f"{folder}/served/answer.json")
    assert served["finish_reason"] in ("stop", "length")
    assert served["usage"]["completion_tokens"] > 0
    page = (folder / "report.html").read_text()
    assert all(f'id="{name}"' in page for name in SECTIONS)
    assert "http://" not in page.replace("http://www.w3.org", "").split("</style>")[0]
    assert lines[-1] == f"report     {folder}/report.html"

    again = start(folder, cache).communicate()[0].splitlines()
    assert all(line.endswith("done before") for line in again[:-1])
