"""Safetensors folders, with the library that reads them as the judge."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from millrace.errors import StorageError
from pretrain.errors import WeightsError
from pretrain.hf.folder import INDEX, SINGLE, TensorFolder, appearing, write_tensors

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b.weight": torch.randn(5),
    "é": torch.zeros(0, 4),
    "z": torch.ones(7, 1),
}


def write(folder, tensors, dtype="float32", max_bytes=10**9):
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    write_tensors(str(folder), shapes, dtype, iter(tensors.items()), max_bytes)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=3), min_size=1, max_size=8),
    st.integers(1, 200),
    st.sampled_from(["float32", "bfloat16", "float16"]),
)
def test_the_library_reads_what_was_written(tmp_path, shapes, max_bytes, dtype):
    tensors = {f"t{n}": torch.randn(shape) for n, shape in enumerate(shapes)}
    with appearing(str(tmp_path / "out")) as folder:
        write(folder, tensors, dtype, max_bytes)
    found = {}
    files = sorted((tmp_path / "out").glob("*.safetensors"))
    for number, file in enumerate(files):
        assert file.name == (SINGLE if len(files) == 1 else f"model-{number + 1:05d}-of-{len(files):05d}.safetensors")
        assert int.from_bytes(file.read_bytes()[:8], "little") % 8 == 0  # so that tensors are aligned
        with safe_open(file, framework="pt") as opened:
            assert opened.metadata() == {"format": "pt"}
            here = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        size = sum(t.numel() * t.element_size() for t in here.values())
        assert size <= max_bytes or sum(t.numel() > 0 for t in here.values()) == 1
        found |= {name: (tensor, file.name) for name, tensor in here.items()}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[name][0], tensor.to(getattr(torch, dtype)))
    if len(files) > 1:
        index = json.loads((tmp_path / "out" / INDEX).read_text())
        assert index["weight_map"] == {name: file for name, (_, file) in found.items()}
        width = 4 if dtype == "float32" else 2
        assert index["metadata"]["total_size"] == width * sum(math.prod(shape) for shape in shapes)


def test_parts_are_read_alone(tmp_path):
    write(tmp_path, TENSORS, max_bytes=24)
    read = TensorFolder(str(tmp_path))
    assert read.shapes == {name: tuple(tensor.shape) for name, tensor in TENSORS.items()}
    assert torch.equal(read.part("a", (1, 2), (0, 2)), TENSORS["a"][1:2, 0:2])


def failing(out, error):
    with appearing(str(out)) as folder:
        write(folder, {"other": torch.ones(1)})
        raise error


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(KeyError):
        failing(out, KeyError())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".out.writing").mkdir()
    (tmp_path / ".out.writing/model.safetensors").write_bytes(b"killed")
    with appearing(str(out)) as folder:
        write(folder, TENSORS, max_bytes=24)
        assert not out.exists()
    with pytest.raises(StorageError, match="No space left"):
        failing(out, OSError(28, "No space left on device"))
    assert TensorFolder(str(out)).shapes.keys() == TENSORS.keys()  # the one there was
    with appearing(str(out)) as folder:
        write(folder, {"other": torch.ones(1)})
    assert TensorFolder(str(out)).shapes.keys() == {"other"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_writers_of_one_folder_do_not_mix(tmp_path):
    out = tmp_path / "out"
    code = (
        "import sys\nfrom pretrain.hf.folder import appearing\nwith appearing(sys.argv[1]) as place:\n"
        "    open(place + '/mine', 'w').close()\n"
    )
    with appearing(str(out)) as folder:
        write(folder, TENSORS)
        other = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, check=False)
        assert other.returncode
        assert f"out is being written by process {os.getpid()}; wait for it" in other.stderr
    assert TensorFolder(str(out)).shapes.keys() == TENSORS.keys()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_writer_moved_away_comes_back(tmp_path):
    write(tmp_path / ".out.removing", {"old": torch.ones(1)})
    (tmp_path / ".out.lock").write_text("process 1")  # it is dead: nobody holds it
    with pytest.raises(KeyError):
        failing(tmp_path / "out", KeyError())
    assert TensorFolder(str(tmp_path / "out")).shapes.keys() == {"old"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_damaged_folders_are_refused_by_name(tmp_path):
    with pytest.raises(WeightsError, match=rf"has no {SINGLE}.*it holds nothing"):
        TensorFolder(str(tmp_path))
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(WeightsError, match=r"it holds pytorch_model\.bin"):
        TensorFolder(str(tmp_path))
    write(tmp_path, TENSORS, max_bytes=24)
    last = sorted(tmp_path.glob("*.safetensors"))[-1]
    whole = last.read_bytes()
    for cut in (len(whole) - 1, 20, 4, 0):
        last.write_bytes(whole[:cut])
        with pytest.raises(WeightsError, match=rf"{last.name} is damaged"):
            TensorFolder(str(tmp_path))
    last.unlink()
    with pytest.raises(WeightsError, match=rf"{last.name} is missing; {INDEX} names it"):
        TensorFolder(str(tmp_path))
    last.write_bytes(whole)
    index = json.loads((tmp_path / INDEX).read_text())
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {**index["weight_map"], "more": last.name}}))
    with pytest.raises(WeightsError, match=rf"{last.name} has no tensor more"):
        TensorFolder(str(tmp_path))
    (tmp_path / INDEX).write_text("{}")
    with pytest.raises(WeightsError, match="has no weight_map"):
        TensorFolder(str(tmp_path))
    with pytest.raises(WeightsError, match="must lie in a local folder"):
        TensorFolder("s3://bucket/model")


def test_an_unknown_type_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="dtype is 'fp8'; weights are written as float32, bfloat16, float16"):
        write(tmp_path, TENSORS, "fp8")
