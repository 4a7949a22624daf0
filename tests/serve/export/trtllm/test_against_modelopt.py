"""Every tensor of every rank against nvidia-modelopt 0.47.0: name, type, shape and bytes, frozen in trtllm.json."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serve.export.calibration import Amax
from serve.export.folder import FolderSource
from serve.export.trtllm.checkpoint import TensorrtLlm
from tests.serve.export.trtllm import models
from tests.serve.export.trtllm.modelopt_values import CASES, fingerprints

ROOT = Path(__file__).parents[4]
GOLDEN = ROOT / "tests/golden/trtllm.json"
FROZEN = json.loads(GOLDEN.read_text())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(name):
        if name not in made:
            made[name] = models.folder(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


@pytest.mark.parametrize(("name", "tp", "pp", "quantization"), CASES)
def test_tensors_are_those_of_modelopt(tmp_path, folders, name, tp, pp, quantization):
    theirs = FROZEN[f"{name} tp{tp} pp{pp} {quantization}"]
    seen = None
    text = tmp_path / "text.txt"
    text.write_text("words")
    fp8 = {"quantization": "fp8", "calibrate": str(text)} if quantization != "none" else {}
    if fp8:
        seen = Amax(theirs["inputs"])
    kv = {"kv_cache": "fp8"} if quantization == "fp8 with kv" else {}
    source = FolderSource(name, folders(name))
    made = TensorrtLlm(tp=tp, pp=pp, dtype="float16", **fp8, **kv)
    made.write_with(source, str(tmp_path / "out"), seen)
    ours = fingerprints(tmp_path / "out")
    for rank, tensors in theirs["ranks"].items():
        # the loader makes one scale of these two, which is there already
        wanted = {
            key: value
            for key, value in tensors.items()
            if not key.endswith((".k_cache_scaling_factor", ".v_cache_scaling_factor"))
        }
        assert ours[rank] == wanted, rank
    assert set(ours) == set(theirs["ranks"])


@pytest.mark.peer
def test_modelopt_still_writes_what_is_frozen():
    python = os.environ.get("MILLRACE_MODELOPT_PYTHON") or (
        sys.executable if importlib.util.find_spec("modelopt") else ""
    )
    if not python:
        pytest.skip("nvidia-modelopt is not installed; MILLRACE_MODELOPT_PYTHON names an interpreter that has it")
    script = [python, "-m", "tests.serve.export.trtllm.modelopt_values", "-"]
    said = subprocess.run(
        script, capture_output=True, text=True, check=True, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert json.loads(said.stdout.splitlines()[-1]) == FROZEN
