"""A language model's folder, opened, every mistake in one line."""

from __future__ import annotations

from typing import Any

import torch

from align.backends.hf.model import open_model, read_config
from align.backends.settings import PolicySettings
from align.errors import AlignError
from millrace import storage
from pretrain.errors import WeightsError
from pretrain.hf import config as hf
from pretrain.hf.folder import INDEX, TensorFolder
from pretrain.hf.weights import Weights
from serve.errors import ModelFolderError
from serve.evaluate.local.settings import LocalSettings
from serve.model import ModelFolder
from serve.tokenizer import open_tokenizer as open_plain

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def refuse(found: ModelFolder) -> None:
    """Raise ModelFolderError for a folder that language tasks cannot take; reads no weight."""
    if found.kind != "language":
        raise ModelFolderError(f"{found.folder} is a reward model: language tasks need a model that predicts tokens")
    if found.quantization == "modelopt":
        raise ModelFolderError(
            f"{found.folder} is quantised by modelopt, whose scales transformers ignores: name what it was made of"
        )
    check_weights(found)


def check_weights(found: ModelFolder, outputs: int = 0) -> None:
    """Raise ModelFolderError for files that are damaged, and tensors that are not those config.json describes.

    Reads headers only. Families that are not pretraining's are looked at by transformers when it opens them.
    outputs: scores of a reward model.
    """
    if not any(one.endswith((".safetensors", INDEX)) for one in storage.list_folder(found.folder)):
        return  # older folders of .bin files
    try:
        TensorFolder(found.folder)
        if found.quantization:
            return
        try:
            shape = hf.read_config(found.folder)
        except WeightsError:  # a family or a kind of attention that only transformers computes
            return
        Weights(found.folder, shape, outputs)
    except WeightsError as error:
        raise ModelFolderError(str(error)) from None


def dtype_of(found: ModelFolder, settings: LocalSettings) -> torch.dtype:
    """Return the type that weights are opened with: of "auto", what config.json says they lie in."""
    if settings.dtype != "auto":
        return DTYPES[settings.dtype]
    try:
        return getattr(read_config(found.folder), "dtype", None) or torch.float32
    except AlignError as error:
        raise ModelFolderError(str(error)) from None


def open_network(found: ModelFolder, settings: LocalSettings) -> Any:
    """Return the transformers model on its device, for reading. Raises ModelFolderError."""
    try:
        there = torch.device(settings.device)
        model = open_model(PolicySettings(start_from=found.folder), dtype_of(found, settings), there, weights=True)
        return model.to(there).eval()
    except AlignError as error:
        raise ModelFolderError(str(error)) from None
    except RuntimeError as error:
        raise ModelFolderError(f"device {settings.device}: {str(error).splitlines()[0]}") from None


def open_tokenizer(found: ModelFolder) -> Any:
    """Return the folder's tokenizer. Raises ModelFolderError where it has none, or one without begin and end token."""
    tokenizer = open_plain(found.folder)
    if tokenizer.bos_token_id is None and tokenizer.eos_token_id is None:
        raise ModelFolderError(
            f"{found.folder}: its tokenizer has no begin and no end token; a text needs one before it"
        )
    return tokenizer
