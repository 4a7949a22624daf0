"""A source as a transformers model, to measure what goes through it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from align.backends.hf.model import quiet
from millrace import storage
from pretrain.hf.folder import write_tensors
from pretrain.hf.weights import SHARD_BYTES
from serve.export.source import Source


@contextlib.contextmanager
def as_folder(source: Source, within: str) -> Iterator[str]:
    """Give a Hugging Face folder of the source: its own, else one written into `within` and removed at the end."""
    own = getattr(source, "folder", "")
    if own:
        yield own
        return
    with room(within) as made:
        tensors = ((name, source.part(name)) for name in source.shapes)
        write_tensors(made, source.shapes, source.dtypes, tensors, SHARD_BYTES)
        source.copy_rest(made)
        storage.write_json(storage.join(made, "config.json"), dict(source.config))
        yield made


@contextlib.contextmanager
def room(within: str) -> Iterator[str]:
    """Give an empty folder in the one that is written, removed at the end; with that one where a process is killed."""
    parent = Path(storage.local_path(storage.absolute(within)))
    parent.mkdir(parents=True, exist_ok=True)
    made = tempfile.mkdtemp(prefix=".exporting-", dir=parent)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def opened(folder: str, dtype: str) -> Any:
    """Return the transformers model of a folder, on the CPU, in a type that torch names so, ready to be run."""
    import torch
    from transformers import AutoModelForCausalLM

    kind: Any = AutoModelForCausalLM
    with quiet():
        return kind.from_pretrained(folder, dtype=getattr(torch, dtype), local_files_only=True).eval()
