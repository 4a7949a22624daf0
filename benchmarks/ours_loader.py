"""One side of benchmarks/loader.py in a process of its own: `SIDE SEQ_LENGTH ROWS SHARDS ANSWER`."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

MICRO_BATCH = 4
WARM_UP = 4  # micro-batches, untimed


def ours(shards: str, seq_length: int, rows: int) -> Callable[[int], int]:
    """Return a function that makes a micro-batch at a row and counts its cells."""
    from pretrain.config import Data
    from pretrain.data.loader import Loader

    loader = Loader(Data(shards=shards, seq_length=seq_length, prefetch=0), MICRO_BATCH, MICRO_BATCH)
    return lambda first: sum(batch.tokens.size for batch in loader.batch(first))


def ours_gpt_dataset(shards: str, seq_length: int, rows: int) -> Callable[[int], int]:
    """As `ours`, by data.layout gpt_dataset."""
    _join()
    from pretrain.config import Data
    from pretrain.data.loader import Loader
    from pretrain.mcore.gpt_dataset import GptDatasetCorpus

    data = Data(shards=shards, seq_length=seq_length, prefetch=0, layout="gpt_dataset")
    corpus = GptDatasetCorpus(data, rows, tempfile.mkdtemp())
    loader = Loader(data, MICRO_BATCH, MICRO_BATCH, corpus=corpus)
    return lambda first: sum(batch.tokens.size for batch in loader.batch(first))


def megatron(shards: str, seq_length: int, rows: int, **reset: bool) -> Callable[[int], int]:
    """Return a function that makes a micro-batch as Megatron's own training does: samples, collated by torch."""
    _join()
    from megatron.core.datasets.blended_megatron_dataset_builder import BlendedMegatronDatasetBuilder
    from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
    from torch.utils.data import default_collate

    manifest = json.loads(Path(shards, "tokens/manifest.json").read_text())

    class Tokenizer:
        eod, vocab_size, unique_identifiers = manifest["end_of_document"], manifest["vocab_size"], {}

    config = GPTDatasetConfig(
        random_seed=0,
        sequence_length=seq_length,
        blend=([str(Path(shards, "tokens", shard["name"])) for shard in manifest["shards"]], None),
        split="99,1,0",
        path_to_cache=tempfile.mkdtemp(),
        tokenizer=Tokenizer(),
        **({"reset_position_ids": False, "reset_attention_mask": False, "eod_mask_loss": False,
            "create_attention_mask": False} | reset),
    )  # fmt: skip
    train = BlendedMegatronDatasetBuilder(GPTDataset, [rows, 1, 0], lambda: True, config).build()[0]
    assert len(train) >= rows

    def make(first: int) -> int:
        return int(default_collate([train[row] for row in range(first, first + MICRO_BATCH)])["tokens"].numel())

    return make


def _join() -> None:
    import torch

    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)


SIDES: dict[str, Callable[[str, int, int], Callable[[int], int]]] = {
    "ours": ours,
    "ours, gpt_dataset": ours_gpt_dataset,
    "GPTDataset": megatron,
    "GPTDataset, reset": lambda *given: megatron(
        *given, reset_position_ids=True, reset_attention_mask=True, eod_mask_loss=True, create_attention_mask=True
    ),
    "GPTDataset, reset, no mask": lambda *given: megatron(
        *given, reset_position_ids=True, reset_attention_mask=True, eod_mask_loss=True
    ),
}


def main(side: str, seq_length: int, rows: int, shards: str) -> dict[str, Any]:
    """Time making `rows` rows after a few to warm up; return CPU seconds and cells."""
    opened = time.process_time()
    make = SIDES[side](shards, seq_length, rows + WARM_UP * MICRO_BATCH)
    opened = time.process_time() - opened
    for number in range(WARM_UP):
        make(number * MICRO_BATCH)
    began = time.process_time()
    cells = sum(make((WARM_UP + number) * MICRO_BATCH) for number in range(rows // MICRO_BATCH))
    return {"cpu": time.process_time() - began, "cells": cells, "opening": opened}


def write_shards(folder: Path, tokens: int, seq_length: int, vocab_size: int) -> None:
    """Write a shard set of log-normal documents (median 400 tokens), packed by the curator."""
    from tests.pretrain.shard_sets import write_shards as write

    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.lognormal(6, 1, tokens // 665), 100_000).astype(int)
    write(folder, [rng.integers(1, vocab_size, n) for n in lengths], seq_length, vocab_size)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    name, length, count, place, answer = sys.argv[1:]
    Path(answer).write_text(json.dumps(main(name, int(length), int(count), place)))
