"""What a user names as a model: a run that wrote one, or a Hugging Face folder."""

from __future__ import annotations

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
    quantization: str  # quant_method of config.json's quantization_config; "" where there is none


def find(named: str) -> ModelFolder:
    """Return the model of a run folder or a Hugging Face folder. Raises ModelFolderError, saying what is there."""
    if not storage.exists(named):
        raise ModelFolderError(f"{named} does not exist; a model is a run folder or a Hugging Face folder")
    there = storage.list_folder(named)
    inside = storage.join(named, EXPORTED)
    if "config.json" in there:
        folder = named
    elif storage.exists(storage.join(inside, "config.json")):
        folder = inside
    elif "run.json" in there:
        raise ModelFolderError(
            f"{named} is a run without {EXPORTED}/: it has not ended; `millrace export` takes its checkpoints"
        )
    else:
        raise ModelFolderError(f"{named} is no model: it has no config.json, but holds {_some(there)}")
    config = _config(storage.join(folder, "config.json"))
    names = config.get("architectures") or [""]
    kind: Literal["language", "reward"] = "reward" if "SequenceClassification" in str(names[0]) else "language"
    quantization = config.get("quantization_config") or {}
    method = str(quantization.get("quant_method", "unnamed") if quantization else "")
    if not method and storage.exists(storage.join(folder, "hf_quant_config.json")):
        method = "modelopt"  # whose older versions left config.json as it was
    parts = PurePosixPath(storage.absolute(named).rstrip("/")).parts
    name = parts[-2] if parts[-1] == EXPORTED and len(parts) > 1 else parts[-1]
    return ModelFolder(name, folder, kind, method)


def _config(url: str) -> dict[str, Any]:
    try:
        content = storage.read_json(url)
    except StorageError as error:
        raise ModelFolderError(str(error)) from None
    if not isinstance(content, dict):
        raise ModelFolderError(f"{url} is no JSON object")
    return content


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "nothing"
