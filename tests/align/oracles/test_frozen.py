"""The golden files are what the scripts beside this one give."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.align.oracles import paper_values
from tests.align.oracles.inputs import plain, read

ROOT = Path(__file__).parents[3]


def differences(found, frozen, place=""):
    """Yield the places where nested values differ by more than float64's last digits."""
    if isinstance(frozen, dict):
        if set(found) != set(frozen):
            yield f"{place}: {sorted(set(found) ^ set(frozen))}"
            return
        for key in frozen:
            yield from differences(found[key], frozen[key], f"{place}/{key}")
    elif isinstance(frozen, list):
        if len(found) != len(frozen):
            yield f"{place}: {len(found)} values, not {len(frozen)}"
            return
        for i, (left, right) in enumerate(zip(found, frozen)):
            yield from differences(left, right, f"{place}/{i}")
    elif isinstance(frozen, float):
        if not (math.isclose(found, frozen, rel_tol=1e-9, abs_tol=1e-10) or (math.isnan(found) and math.isnan(frozen))):
            yield f"{place}: {found} is not {frozen}"
    elif found != frozen:
        yield f"{place}: {found} is not {frozen}"


def test_numbers_that_differ_are_found():
    assert list(differences({"a": [1.0, 2.0]}, {"a": [1.0, 2.1]})) == ["/a/1: 2.0 is not 2.1"]


def test_values_of_papers_are_those_frozen():
    assert not list(differences(plain(paper_values.values()), read("paper.json")))


@pytest.mark.peer
def test_trl_and_torchrl_still_say_what_is_frozen():
    for package in ("trl", "torchrl"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install millrace[oracle]")
    script = [sys.executable, "-m", "tests.align.oracles.trl_values", "-"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    said = subprocess.run(script, capture_output=True, text=True, check=True, cwd=ROOT, env=environment)
    assert not list(differences(json.loads(said.stdout.splitlines()[-1]), read("trl.json")))
