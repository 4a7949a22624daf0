"""Where an export may lie, and what is left where it fails."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from align.backends.hf.model import read_config
from align.errors import ModelError
from align.rollout.transformers import TransformersGenerator
from pretrain.errors import WeightsError
from pretrain.hf.config import read_config as read_model
from serve import model
from serve.errors import ServeSettingsError
from serve.export.export import export
from serve.export.fp8_dynamic import Fp8Dynamic
from serve.export.hf import HuggingFace
from serve.export.opening import open_source


def test_a_folder_that_is_no_export_is_refused_and_left_alone(llama, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_bytes(b"x")
    with pytest.raises(ServeSettingsError, match=r"is there and no export.*cat\.png"):
        export(open_source(llama), HuggingFace(), str(tmp_path / "photos"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(ServeSettingsError, match="is a file"):
        export(open_source(llama), HuggingFace(), str(tmp_path / "file"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["cat.png", "file", "photos"]


def test_an_export_replaces_another_and_an_empty_folder(llama, tmp_path):
    (tmp_path / "out").mkdir()
    export(open_source(llama), Fp8Dynamic(), str(tmp_path / "out"))
    export(open_source(llama), HuggingFace(), str(tmp_path / "out"))
    told = json.loads((tmp_path / "out" / "export.json").read_text())
    assert (told["format"], told["source"], told["test"]["worst"]) == ("hf", llama, 0.0)


def test_a_model_is_not_written_over_itself(llama, tmp_path):
    export(open_source(llama), HuggingFace(), str(tmp_path / "run" / "hf"))
    for output in (tmp_path / "run" / "hf", tmp_path / "run"):
        with pytest.raises(ServeSettingsError, match="holds the model itself"):
            export(open_source(str(tmp_path / "run" / "hf")), HuggingFace(), str(output))


def test_an_object_store_is_refused(llama):
    with pytest.raises(ServeSettingsError, match="tested where it is written"):
        export(open_source(llama), HuggingFace(), "s3://models/out")


@dataclasses.dataclass(frozen=True)
class Interrupted(HuggingFace):
    def write(self, source, folder):
        super().write(source, folder)
        raise KeyboardInterrupt


def test_an_interrupt_leaves_nothing(llama, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        export(open_source(llama), Interrupted(), str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def modelopt(llama, tmp_path):
    """Return a folder that says it is ModelOpt's, whose scales transformers ignores without a word."""
    folder = Path(shutil.copytree(llama, tmp_path / "quantised"))
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | {"quantization_config": {"quant_method": "modelopt"}}))
    return str(folder)


def test_our_own_readers_refuse_what_would_load_wrong_silently(modelopt):
    with pytest.raises(ModelError, match="quantised by modelopt"):
        read_config(modelopt)
    with pytest.raises(ModelError, match="quantised by modelopt"):
        TransformersGenerator.load(modelopt)
    with pytest.raises(WeightsError, match="quantization_config"):
        read_model(modelopt)
    assert model.find(modelopt).quantization == "modelopt"


def test_a_folder_of_an_older_modelopt_is_known_by_its_other_file(llama, tmp_path):
    folder = Path(shutil.copytree(llama, tmp_path / "old"))
    (folder / "hf_quant_config.json").write_text("{}")
    with pytest.raises(ModelError, match="quantised by modelopt"):
        read_config(str(folder))
    assert model.find(str(folder)).quantization == "modelopt"
