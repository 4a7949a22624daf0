"""Reads data.layout gpt_dataset; imported by ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pretrain.config import Data
from pretrain.data.loader import Loader
from pretrain.errors import ShardError

GLOBAL, MICRO = 4, 2


def read(cases: list[dict[str, Any]], rows: int, cache: str) -> list[dict[str, Any]]:
    """Return `_read` of each of some settings."""
    return [_read(settings, rows, cache) for settings in cases]


def _read(settings: dict[str, Any], rows: int, cache: str) -> dict[str, Any]:
    """Return this rank's batches, what Megatron itself says of the same samples, and whether the cache is gone."""
    import torch

    from pretrain.mcore.gpt_dataset import GptDatasetCorpus

    rank, ranks = torch.distributed.get_rank(), torch.distributed.get_world_size()
    corpus = GptDatasetCorpus(Data(**settings), rows, cache)
    with Loader(corpus.data, GLOBAL, MICRO, rank, ranks, corpus=corpus) as loader:
        batches = [batch for first in range(0, rows, GLOBAL) for batch in loader.batch(first)]
        documents = [loader.documents(first) for first in range(0, rows, GLOBAL)]
        again = loader.batch(GLOBAL * 3)
        try:
            loader.batch(rows)
            said = ""
        except ShardError as error:
            said = str(error)
    torch.distributed.barrier()  # no rank is at the next settings, whose cache would be seen
    left = [p.name for p in Path(cache).iterdir()]
    torch.distributed.barrier()
    return {
        "batches": [{k: v.tolist() for k, v in vars(batch).items()} for batch in batches],
        "again": all((a.tokens == b.tokens).all() for a, b in zip(again, batches[3 * len(again) :])),
        "documents": documents,
        "peer": [_megatrons_own(corpus, row) for row in range(rows)],
        "left": left,
        "said": said,
        "describe": corpus.describe(rows // GLOBAL, GLOBAL),
        "held": corpus.held.length.tolist(),
    }


def _megatrons_own(corpus: Any, row: int) -> dict[str, Any]:
    """Ask Megatron for positions and weights by end tokens, which is how it respects documents."""
    from megatron.core.datasets import gpt_dataset

    item = corpus.dataset[row]
    _, weights, positions = gpt_dataset._get_ltor_masks_and_position_ids(item["tokens"], 0, True, True, True, False)
    labels = np.where(weights.numpy() > 0, item["labels"].numpy(), 0)
    return {"tokens": item["tokens"].tolist(), "labels": labels.tolist(), "positions": positions.tolist(),
            "weights": weights.tolist()}  # fmt: skip
