"""What tells one base model from another, on whichever backend it runs."""

from __future__ import annotations

import hashlib

from millrace import storage

BLOCK, BLOCKS = 4096, 16  # bytes, and how many of each weights file, that tell one model from another


def fingerprint(folder: str) -> str:
    """Return a hash that tells a base model from another: config.json, and of each weights file blocks of its bytes."""
    digest = hashlib.sha256(storage.read_bytes(storage.join(folder, "config.json")))
    for name in storage.list_folder(folder):
        if not name.endswith((".safetensors", ".bin", ".index.json")):
            continue
        url = storage.join(folder, name)
        length = storage.size(url) or 0
        digest.update(f"{name} {length}".encode())
        with storage.opening(url) as stream:
            for number in range(BLOCKS):
                stream.seek(number * max(0, length - BLOCK) // (BLOCKS - 1))
                digest.update(stream.read(BLOCK))
    return digest.hexdigest()[:16]
