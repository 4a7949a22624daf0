"""The measuring code: what it counts, and that it would notice."""

from __future__ import annotations

import sys

import pytest

from benchmarks import measure, report

SPIN = "import time\nwhile time.process_time() < {seconds}: pass\n"
GRANDCHILD = """
import os, sys, time
if os.fork() == 0:
    if os.fork() == 0:  # its parent ends at once: an orphan that nobody in the tree waits for
        while time.process_time() < {seconds}: pass
    os._exit(0)
os.wait()
"""


def test_the_cost_of_a_command_is_its_cpu_time(tmp_path):
    cost = measure.run([sys.executable, "-c", SPIN.format(seconds=0.4)], tmp_path / "log")
    assert 0.4 <= cost.cpu < 1.0


def test_orphaned_grandchildren_are_counted(tmp_path):
    cost = measure.run([sys.executable, "-c", GRANDCHILD.format(seconds=0.5)], tmp_path / "log")
    assert cost.cpu >= 0.5


def test_memory_is_that_of_the_largest_process(tmp_path):
    code = "import time; held = bytearray(100_000_000); time.sleep(0.7)"
    cost = measure.run([sys.executable, "-c", code], tmp_path / "log")
    assert 100 <= cost.main_mb < 200
    assert cost.worker_mb == 0
    assert cost.tree_mb >= cost.main_mb


def test_the_answer_of_a_command_is_read(tmp_path):
    answer = tmp_path / "answer.json"
    code = f"open({str(answer)!r}, 'w').write('{{\"kept\": 3}}')"
    assert measure.run([sys.executable, "-c", code], tmp_path / "log", answer).answer == {"kept": 3}


def test_a_command_that_fails_ends_the_benchmark_with_its_words(tmp_path):
    with pytest.raises(SystemExit, match="no such luck"):
        measure.run([sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path / "log")


def test_a_ratio_is_peer_by_ours_with_the_range_round_by_round():
    assert report.ratio([10, 20, 30], [1, 1, 2]) == "20.0 (10.0 to 20.0)"
    assert report.ratio([30], [1, 2, 4]) == "15.0"
    assert report.spread([3, 1, 2], 1) == "2.0 (1.0 to 3.0)"
