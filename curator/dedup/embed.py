"""Texts to embeddings by a sentence encoder on local files, run by ONNX Runtime on the CPU.

A model is a folder as sentence-transformers lays it out, or an .onnx file in one:

    model.onnx | onnx/model.onnx    takes input_ids (attention_mask, token_type_ids), gives an embedding a token
    tokenizer.json
    1_Pooling/config.json           mean or CLS; absent: mean
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from curator.errors import ModelError
from curator.onnx_model import first_file, folder_of, load_session, load_tokenizer, need, one_line
from millrace import storage

WHOLE = "sentence_embedding"  # output of a model that pools by itself
POOLINGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}


def model_files(model: str) -> dict[str, str]:
    """Return the paths of the files that shape an embedding, by role: onnx, tokenizer, and pooling and data
    where they are there. Raises ModelError where the model is no local one or one of the first is missing."""
    place = folder_of(model)
    given = [place] if place.suffix == ".onnx" else [place / "model.onnx", place / "onnx" / "model.onnx"]
    onnx = first_file(
        given, f"{model} holds no model: no file {{}}; sentence-transformers exports one (backend='onnx')"
    )
    roots = [onnx.parent, onnx.parent.parent] if onnx.parent.name == "onnx" else [onnx.parent]
    tokenizer = first_file([root / "tokenizer.json" for root in roots], f"{model} holds no tokenizer: no file {{}}")
    more = {"pooling": tokenizer.parent / "1_Pooling" / "config.json", "data": onnx.with_name(onnx.name + "_data")}
    found = {"onnx": onnx, "tokenizer": tokenizer} | {role: path for role, path in more.items() if path.is_file()}
    return {role: str(path) for role, path in found.items()}


def check_model(model: str) -> None:
    """Raise ModelError where a model's files are not there, or what runs them is not installed."""
    model_files(model)
    need(("onnxruntime",), "embedding by a model", "semantic")


def embed(texts: pa.Array, model: str, max_tokens: int) -> pa.Array:
    """Return the embedding of each text, from its first `max_tokens` tokens, as a list of float32.

    Missing and empty text, and text of no tokens, has a null embedding. Texts go through the model one by one
    and on one thread, for a float32 result depends on what else is in a batch; so it is the same for any
    batch and number of workers, but not on other processors or versions of ONNX Runtime, where it differs by
    some 1e-6. Raises ModelError on files that are no such model.
    """
    files = model_files(model)
    encoder = _load(*((path, Path(path).stat().st_mtime_ns) for path in (files["onnx"], files["tokenizer"])),
                    pooling=_pooling(files.get("pooling")), max_tokens=max_tokens)  # fmt: skip
    return pa.array([encoder.embedding(text) if text else None for text in texts.to_pylist()],
                    pa.large_list(pa.float32()))  # fmt: skip


@dataclass(frozen=True)
class _Encoder:
    name: str
    session: Any
    tokenizer: Any
    inputs: tuple[str, ...]
    output: str
    pooling: str  # mean, cls, or none where the model pools

    def embedding(self, text: str) -> np.ndarray | None:
        ids = np.array([self.tokenizer.encode(text).ids], np.int64)
        if not ids.size:
            return None
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        try:
            made: np.ndarray = self.session.run([self.output], {name: values[name] for name in self.inputs})[0][0]
        except Exception as error:  # the classes it raises are private
            raise ModelError(f"{self.name} fails on a text of {ids.size} tokens: {one_line(error)}") from None
        if self.pooling == "mean":
            made = made.mean(axis=0, dtype=np.float64)
        elif self.pooling == "cls":
            made = made[0]
        whole: np.ndarray = made.astype(np.float32)
        return whole


def _pooling(path: str | None) -> str:
    """Return how the embeddings of tokens become one."""
    if path is None:
        return "mean"
    try:
        said = json.loads(storage.read_bytes(path))
        chosen = [name for name, value in said.items() if name.startswith("pooling_mode") and value is True]
    except (ValueError, AttributeError):
        raise ModelError(f"{path} is not the JSON that describes a pooling") from None
    if len(chosen) != 1 or chosen[0] not in POOLINGS:
        raise ModelError(f"{path} pools by {', '.join(chosen) or 'nothing'}; known is one of {', '.join(POOLINGS)}")
    return POOLINGS[chosen[0]]


@functools.lru_cache(maxsize=2)
def _load(onnx: tuple[str, int], words: tuple[str, int], pooling: str, max_tokens: int) -> _Encoder:
    """Return the model of two files, each (path, state in nanoseconds), once a process."""
    session = load_session(onnx[0])
    tokenizer = load_tokenizer(words[0], max_tokens)
    inputs = tuple(item.name for item in session.get_inputs())
    outputs = {item.name: len(item.shape) for item in session.get_outputs()}
    if outputs.get(WHOLE) == 2:
        return _Encoder(onnx[0], session, tokenizer, inputs, WHOLE, "none")
    tokens = [name for name, rank in outputs.items() if rank == 3]
    if not tokens:
        raise ModelError(f"{onnx[0]} gives {', '.join(outputs)}; expected {WHOLE} or an output (batch, tokens, width)")
    return _Encoder(onnx[0], session, tokenizer, inputs, tokens[0], pooling)
