"""What a user names as a model."""

from __future__ import annotations

import json

import pytest

from serve import model
from serve.errors import ExportError, ModelFolderError
from serve.export.opening import open_source


@pytest.mark.parametrize("reader", [model.find, open_source])
def test_a_config_that_is_no_object_is_refused_by_every_reader(tmp_path, reader):
    (tmp_path / "config.json").write_text("[1, 2]")
    with pytest.raises(ModelFolderError, match=r"config\.json is no JSON object"):
        reader(str(tmp_path))


@pytest.mark.parametrize("reader", [model.find, open_source])
def test_a_config_that_is_no_json_is_refused_by_every_reader(tmp_path, reader):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelFolderError, match="is not a JSON file"):
        reader(str(tmp_path))


@pytest.mark.parametrize(
    ("told", "method"),
    [
        ({"quantization_config": {"quant_method": "awq"}}, "awq"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"quantization_config": {"bits": 4}}, "unnamed"),
        ({"quantization_config": "int8"}, "unnamed"),
        ({"quantization_config": {}}, ""),
        ({}, ""),
    ],
)
def test_both_keys_say_that_a_model_is_quantised(tmp_path, told, method):
    (tmp_path / "config.json").write_text(json.dumps(told | {"model_type": "llama"}))
    assert model.find(str(tmp_path)).quantization == method
    if method:
        with pytest.raises(ExportError, match=f"is quantised already, by {method}"):
            open_source(str(tmp_path))
