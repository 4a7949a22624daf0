"""Tokenizers by their tokenizer.json."""

from __future__ import annotations

import functools
import os
from typing import Any

from curator.errors import ModelError
from millrace import storage, tables


def load(path: str) -> Any:
    """Return the tokenizer of a tokenizer.json, made once a process and content of the file. Raises ModelError where
    it is not one."""
    return _load(path, str(tables.checksum(path)["xxh3"]))


@functools.lru_cache(maxsize=2)
def _load(path: str, checksum: str) -> Any:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a worker has one core; Dask has the others
    from tokenizers import Tokenizer

    content = storage.read_bytes(path)
    try:
        tokenizer = Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises bare Exception
        raise ModelError(f"{path} is not a tokenizer.json: {' '.join(str(error).split())[:200]}") from None
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
