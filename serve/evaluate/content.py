"""What a model is: a hash of the files of its folder that are read, whatever else lies there."""

from __future__ import annotations

import hashlib
import json
from fnmatch import fnmatch

from millrace import storage, tables

READ = (
    "config.json", "generation_config.json", "hf_quant_config.json",
    "*.safetensors", "*.safetensors.index.json", "pytorch_model*.bin", "pytorch_model.bin.index.json",
    "tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "*.model", "*.tiktoken",
    "chat_template.*", "*.onnx",
)  # fmt: skip


def content(url: str) -> str:
    """Return a hash of a model: of a folder's files that are READ, with their names, or of a single file.

    Reads every byte of them.
    """
    folder = storage.size(url) is None
    names = [one for one in storage.list_folder(url) if any(fnmatch(one, each) for each in READ)] if folder else [""]
    digest = hashlib.sha256()
    for name in sorted(names):
        sums = tables.checksum(storage.join(url, name) if name else url)
        digest.update(json.dumps([name, sums["bytes"], sums["xxh3"]]).encode())
    return digest.hexdigest()
