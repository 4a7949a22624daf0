"""Models and tokenizers on local files, run by ONNX Runtime and tokenizers on one thread of the CPU."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from curator.errors import ModelError
from millrace import storage

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def folder_of(model: str) -> Path:
    """Return the local path that a model's URL names. Raises ModelError where it lies elsewhere."""
    if not storage.is_local(model):
        raise ModelError(f"{model} is no local path; copy the model here first")
    return storage.local_path(storage.absolute(model))


def first_file(paths: list[Path], missing: str) -> Path:
    """Return the first path that is a file, or raise ModelError: `missing`, with the paths in place of {}."""
    for path in paths:
        if path.is_file():
            return path
    raise ModelError(missing.format(" or ".join(map(str, paths))))


def need(packages: tuple[str, ...], what: str, extra: str) -> None:
    """Raise ModelError, naming the extra to install, where any of the packages is not there."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if absent:
        raise ModelError(f"{what} needs {' and '.join(absent)}; pip install 'millrace[{extra}]'")


def load_session(path: str) -> Any:
    """Return the inference session of an .onnx file that takes tokens."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the classes it raises are private
        raise ModelError(f"{path} is not a model that ONNX Runtime loads: {one_line(error)}") from None
    inputs = tuple(item.name for item in session.get_inputs())
    if "input_ids" not in inputs or set(inputs) - set(INPUTS):
        raise ModelError(f"{path} takes {', '.join(inputs)}; expected input_ids and at most {', '.join(INPUTS[1:])}")
    return session


def load_tokenizer(path: str, max_tokens: int) -> Any:
    """Return the tokenizer of a tokenizer.json, which cuts at `max_tokens` and pads nothing."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # tokenizers raises bare Exception
        raise ModelError(f"{path} is not a tokenizer.json: {one_line(error)}") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def one_line(error: Exception) -> str:
    """Return what an error says, without its line ends."""
    return " ".join(str(error).split())
