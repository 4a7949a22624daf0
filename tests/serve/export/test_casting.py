"""Weights past float16, said before anything is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

from serve.errors import ExportError
from serve.export import casting
from serve.export.export import export
from serve.export.formats import format_named
from serve.export.opening import open_source
from tests.serve.export import models


@pytest.fixture
def large(llama, tmp_path):
    """Return the path of a model with one weight of 100,000, and one that float16 rounds down to its largest."""
    folder = Path(shutil.copytree(llama, tmp_path / "large"))
    held = models.tensors(folder)
    held["model.norm.weight"][3] = -100_000.0
    save_file(held, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


@pytest.mark.parametrize("name", ["hf", "trtllm"])
def test_a_number_past_float16_is_said_and_bfloat16_offered(large, tmp_path, name):
    said = r"^model\.norm\.weight has numbers up to 99,840, and float16 holds 65,504 at most: take bfloat16$"
    with pytest.raises(ExportError, match=said):
        export(open_source(large), format_named(name, ["dtype=float16"]), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    casting.require(open_source(large), "bfloat16")


def test_what_float16_holds_is_taken(llama):
    casting.require(open_source(llama), "float16")


def test_a_config_that_names_no_class_is_written_with_its_family_s(llama, tmp_path):
    folder = Path(shutil.copytree(llama, tmp_path / "unnamed"))
    told = json.loads((folder / "config.json").read_text())
    assert told.pop("architectures") == ["LlamaForCausalLM"]
    (folder / "config.json").write_text(json.dumps(told))
    assert open_source(str(folder)).config["architectures"] == ["LlamaForCausalLM"]
