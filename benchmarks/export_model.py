"""A Llama of 1.1 billion random weights in bfloat16, as a Hugging Face folder: what exports are timed on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from millrace import storage
from pretrain.config import Model
from pretrain.hf.config import config_json
from pretrain.hf.folder import write_tensors
from pretrain.hf.tables import table

MODEL = Model(layers=16, hidden_size=2048, heads=32, kv_heads=8, ffn_size=8192, vocab_size=32_000, positions=2048)


def make(folder: Path, model: Model = MODEL, shard_bytes: int = 1_000_000_000) -> None:
    """Write the folder. Norms are 1, all else is normal with a standard deviation of 0.02, from a seed."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shapes = {name: shape for matrix in table(model, "llama") for name, shape in matrix.sources().items()}

    def tensors():
        for name, shape in shapes.items():
            if len(shape) == 1:
                yield name, torch.ones(shape, dtype=torch.bfloat16)
            else:
                yield name, torch.empty(shape, dtype=torch.bfloat16).normal_(0, 0.02, generator=generator)

    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(str(folder), shapes, "bfloat16", tensors(), shard_bytes)
    told = config_json(model, "bfloat16", 2)
    storage.write_json(str(folder / "config.json"), told | {"dtype": "bfloat16"})


def tenth() -> Model:
    """Return the model with a tenth of the layers' width, for a try."""
    return dataclasses.replace(MODEL, hidden_size=512, ffn_size=2048)
