"""Megatron's own reader of indexed datasets; imported by a process of its own."""

from __future__ import annotations

from typing import Any

import numpy as np


def read(paths: list[str], sizes: list[int]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return what Megatron reads of each shard, and the type it chooses for each size of vocabulary."""
    from megatron.core.datasets.indexed_dataset import DType, IndexedDataset

    shards = []
    for path in paths:
        found = IndexedDataset(path)
        shards.append({
            "dtype": np.dtype(found.index.dtype).name,
            "sequences": [found[i].tolist() for i in range(len(found))],
            "documents": found.document_indices.tolist(),
            "lengths": found.sequence_lengths.tolist(),
        })  # fmt: skip
    return shards, [np.dtype(DType.optimal_dtype(size)).name for size in sizes]
