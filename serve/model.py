"""What a user names as a model: a run that wrote one, or a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from millrace import storage
from millrace.errors import StorageError
from serve.errors import ModelFolderError

EXPORTED = "hf"  # where pretraining and alignment leave a run's model


@dataclass(frozen=True)
class ModelFolder:
    """A Hugging Face folder, under the name it has in answers and results."""

    name: str
    folder: str
    kind: Literal["language", "reward"]
    quantization: str  # see `quantised_by`


def find(named: str) -> ModelFolder:
    """Return the model of a run folder or a Hugging Face folder. Raises ModelFolderError, saying what is there."""
    if not storage.exists(named):
        raise ModelFolderError(f"{named} does not exist; a model is a run folder or a Hugging Face folder")
    there, folder = storage.list_folder(named), weights_folder(named)
    if folder is None and "run.json" in there:
        raise ModelFolderError(
            f"{named} is a run without {EXPORTED}/: it has not ended; `millrace export` takes its checkpoints"
        )
    if folder is None:
        raise ModelFolderError(f"{named} is no model: it has no config.json, but holds {_some(there)}")
    config = read_config(folder)
    names = config.get("architectures") or [""]
    kind: Literal["language", "reward"] = "reward" if "SequenceClassification" in str(names[0]) else "language"
    method = quantised_by(folder, config)
    parts = PurePosixPath(storage.absolute(named).rstrip("/")).parts
    name = parts[-2] if parts[-1] == EXPORTED and len(parts) > 1 else parts[-1]
    return ModelFolder(name, folder, kind, method)


def weights_folder(named: str) -> str | None:
    """Return the Hugging Face folder that is named, or that the run which is named handed on; None where neither is."""
    for folder in (named, storage.join(named, EXPORTED)):
        if storage.exists(storage.join(folder, "config.json")):
            return folder
    return None


def read_config(folder: str) -> dict[str, Any]:
    """Return the config.json of a Hugging Face folder. Raises ModelFolderError where it is no JSON object."""
    url = storage.join(folder, "config.json")
    try:
        content = storage.read_json(url)
    except StorageError as error:
        raise ModelFolderError(str(error)) from None
    if not isinstance(content, dict):
        raise ModelFolderError(f"{url} is no JSON object")
    return content


def quantised_by(folder: str, config: Mapping[str, Any]) -> str:
    """Return what quantised the weights of a folder with this config.json, "" where they are not quantised."""
    for key in ("quantization_config", "compression_config"):  # the second is compressed-tensors' older one
        told = config.get(key)
        if told:
            return str(told.get("quant_method", "unnamed") if isinstance(told, Mapping) else "unnamed")
    # whose older versions left config.json as it was
    return "modelopt" if storage.exists(storage.join(folder, "hf_quant_config.json")) else ""


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing"
