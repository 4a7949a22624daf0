"""A sequence classifier small enough to be written by hand: a text's logits are the mean of its tokens' rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.curator.dedup.onnx_model import FLOAT, INT64, field, tensor_info

INT = 2  # AttributeProto.AttributeType
LABELS = ("good", "fair", "poor")
TABLE = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)


def node(operator: str, inputs: tuple[str, ...], output: str, **attributes: int) -> bytes:
    """Return a NodeProto as a field of the graph."""
    made = b"".join(field(1, name) for name in inputs) + field(2, output) + field(4, operator)
    for name, value in attributes.items():
        made += field(5, field(1, name) + field(3, value) + field(20, INT))
    return field(1, made)


def constant(name: str, kind: int, array: np.ndarray) -> bytes:
    """Return a TensorProto as an initializer of the graph."""
    shape = b"".join(field(1, n) for n in array.shape)
    return field(5, shape + field(2, kind) + field(8, name) + field(9, array.tobytes()))


def classifier(table: np.ndarray, output: str = "logits") -> bytes:
    """Return a model: input_ids, attention_mask (batch, tokens) -> logits (batch, labels)."""
    graph = node("Gather", ("table", "input_ids"), "rows") + node("Cast", ("attention_mask",), "mask", to=FLOAT)
    graph += node("Unsqueeze", ("mask", "last"), "column") + node("Mul", ("rows", "column"), "attended")
    graph += node("ReduceSum", ("attended", "first"), "sum", keepdims=0)
    graph += node("ReduceSum", ("column", "first"), "count", keepdims=0) + node("Div", ("sum", "count"), output)
    graph += field(2, "classifier") + constant("table", FLOAT, table.astype("<f4"))
    graph += constant("last", INT64, np.array([-1])) + constant("first", INT64, np.array([1]))
    graph += b"".join(
        field(11, tensor_info(name, INT64, ("batch", "tokens"))) for name in ("input_ids", "attention_mask")
    )
    graph += field(12, tensor_info(output, FLOAT, ("batch", table.shape[1])))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))  # IR version 8, operator set 13


def write_model(
    folder: Path, words: list[str], table: np.ndarray = TABLE, labels: tuple[str, ...] = LABELS, **config: Any
) -> str:
    """Write a folder as transformers lays it out, whose tokens are words: of row 0 those not known; return its path."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(classifier(table))
    said = {"id2label": {str(i): label for i, label in enumerate(labels)}, **config}
    (folder / "config.json").write_text(json.dumps(said))
    write_tokenizer(folder, words)
    return str(folder)


def write_tokenizer(folder: Path, words: list[str]) -> None:
    """Write a tokenizer.json of words."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, **{w: i + 1 for i, w in enumerate(words)}}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=16)  # as exported files often say; it must not count
    tokenizer.save(str(folder / "tokenizer.json"))
