"""A sentence encoder small enough to be written by hand: each token's embedding is a row of a table.

Just enough of the ONNX format (onnx.proto: ModelProto, GraphProto, ...) for one Gather, so that tests need no
package that builds models.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers

FLOAT, INT64 = 1, 7  # TensorProto.DataType


def varint(value: int) -> bytes:
    """Return an unsigned number in protobuf's coding, seven bits a byte."""
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number: int, value: int | str | bytes) -> bytes:
    """Return one field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def tensor_info(name: str, kind: int, dimensions: tuple[str | int, ...]) -> bytes:
    """Return a ValueInfoProto."""
    shape = b"".join(field(1, field(2 if isinstance(d, str) else 1, d)) for d in dimensions)
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, shape)))


def encoder(table: np.ndarray, inputs: tuple[str, ...] = ("input_ids", "attention_mask")) -> bytes:
    """Return a model: input_ids (batch, tokens) -> last_hidden_state (batch, tokens, width), rows of `table`."""
    gather = field(1, "table") + field(1, inputs[0]) + field(2, "last_hidden_state") + field(4, "Gather")
    weights = b"".join(field(1, n) for n in table.shape) + field(2, FLOAT) + field(8, "table")
    weights += field(9, table.astype("<f4").tobytes())
    graph = field(1, gather) + field(2, "encoder") + field(5, weights)
    graph += b"".join(field(11, tensor_info(name, INT64, ("batch", "tokens"))) for name in inputs)
    graph += field(12, tensor_info("last_hidden_state", FLOAT, ("batch", "tokens", table.shape[1])))
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))  # IR version 8, operator set 13


def write_model(folder: Path, words: list[str], table: np.ndarray, onnx: str = "onnx/model.onnx") -> str:
    """Write a folder as sentence-transformers lays it out, whose tokens are words; return its path."""
    path = folder / onnx
    path.parent.mkdir(parents=True)
    path.write_bytes(encoder(table))
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, **{w: i + 1 for i, w in enumerate(words)}}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding(length=16)  # as exported files often say; it must not count
    tokenizer.save(str(folder / "tokenizer.json"))
    return str(folder)
