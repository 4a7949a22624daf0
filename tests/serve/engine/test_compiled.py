"""Where compiled functions are kept."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
SOURCE = """
import numpy as np
from serve.engine.compiled import compiled

@compiled()
def twice(x):
    return 2 * x

assert twice(np.ones(2)).tolist() == [2, 2]
print(sum(twice.stats.cache_hits.values()) if twice.stats.cache_path else "memory")
"""


def ran(folder, **environment):
    made = subprocess.run(
        [sys.executable, "kernel.py"], cwd=folder, capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip
    return made.stdout.strip()


def test_what_was_compiled_is_kept_while_the_source_says_the_same(tmp_path):
    (tmp_path / "kernel.py").write_text(SOURCE)
    assert ran(tmp_path) == "0"
    os.utime(tmp_path / "kernel.py", (1, 1))  # as another checkout or installation of it
    assert ran(tmp_path) == "1"
    (tmp_path / "kernel.py").write_text(SOURCE + "# other\n")
    assert ran(tmp_path) == "0"


def test_where_no_folder_can_be_written_it_is_compiled_in_memory(tmp_path):
    (tmp_path / "kernel.py").write_text(SOURCE)
    (tmp_path / "__pycache__").write_text("no folder")  # holds for root too, unlike permissions
    nowhere = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache", "PYTHONDONTWRITEBYTECODE": "1"}
    assert ran(tmp_path, **nowhere) == "memory"


def test_the_kernels_of_the_engine_are_kept():
    from serve.engine import kernels

    x = np.ones((1, 4), np.float32)
    kernels.normalise(x, x[0], 0.0, x.copy())
    assert kernels.normalise.stats.cache_path
