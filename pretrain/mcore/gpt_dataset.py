"""Megatron's GPTDataset over the same shards: data.layout gpt_dataset, the compatible alternative to packed rows.

The sequences of an .idx (pieces of documents) are shuffled and laid end to end, and cut into samples of
data.seq_length + 1 tokens, whichever piece that falls in. What differs from packed rows:

* no padding, but every sample begins and ends inside a document: more documents are cut;
* documents are shuffled anew each epoch and over all epochs at once: the order depends on the length of the run,
  which must stand at the start, and its index takes 10 bytes a row of the run and set, 8 a piece and epoch;
* Megatron finds the bounds of documents by their end token, which a piece of a long document has not. Here they
  are taken from the sample index, so that such a piece too is a document of its own, as in packed rows.

The split is that of packed rows, and so are the validation rows: losses of both layouts compare.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from megatron.core.datasets.blended_dataset import BlendedDataset
from megatron.core.datasets.gpt_dataset import GPTDataset, GPTDatasetConfig
from megatron.core.datasets.utils import Split

from millrace import storage
from pretrain.batch import Batch
from pretrain.config import Data
from pretrain.data.corpus import Corpus
from pretrain.errors import ShardError

SURPLUS = 1.005  # of samples a shard over its share of the blend, which is not met to the row: Megatron's own


class GptDatasetCorpus(Corpus):
    """A Corpus whose training rows are GPTDataset's samples; for the `corpus` of a Loader.

    `rows` are all that the run will ask for, training.steps x training.global_batch. `cache` is a folder that all
    ranks see, where rank 0 leaves indexes for the others; it is gone afterwards. Needs an initialised process group;
    every rank must make one, at the same time.
    """

    def __init__(
        self, data: Data, rows: int, cache: str, vocab_size: int | None = None, tokenizer_sha256: str | None = None
    ) -> None:
        super().__init__(data, vocab_size, tokenizer_sha256)
        self.total = rows
        total = sum(self.weights)
        parts = [
            _Part(i, k, weight / total * rows_of.tokens / tokens)
            for i, (weight, tokens) in enumerate(zip(self.weights, self.train_tokens, strict=True))
            for k, rows_of in enumerate(self.rows[i])
            if rows_of.tokens
        ]
        self.parts = parts
        digest = hashlib.sha256(json.dumps(self.fingerprint).encode()).hexdigest()
        folder = storage.join(cache, f"gpt-dataset-{digest[:16]}")
        rank = torch.distributed.get_rank()
        if rank == 0:
            storage.remove(folder)  # of a run that was killed, perhaps half-written
            self.dataset = self._build(folder)
        torch.distributed.barrier()
        if rank != 0:
            self.dataset = self._build(folder)
        torch.distributed.barrier()
        if rank == 0:
            storage.remove(folder)
        torch.distributed.barrier()  # when one rank has it, nothing is left behind

    def _build(self, folder: str) -> BlendedDataset:
        names = [self.sets[part.set].shards[part.shard].url for part in self.parts]
        shares = [part.share for part in self.parts]
        config = GPTDatasetConfig(
            random_seed=self.data.seed & 0xFFFFFFFF,
            sequence_length=self.seq_length,
            blend=(names, shares),
            split="1,0,0",
            path_to_cache=folder,
            tokenizer=_Tokenizer(self.vocab_size),
            reset_position_ids=False,  # all of this is done here, by the sample index
            reset_attention_mask=False,
            eod_mask_loss=False,
            create_attention_mask=False,
        )
        made = []
        for part, name in zip(self.parts, names, strict=True):
            indexed = GPTDataset.build_low_level_dataset(name, config)
            train = np.flatnonzero(~self.rows[part.set][part.shard].held).astype(np.int32)
            samples = math.ceil(math.ceil(self.total * part.share) * SURPLUS)
            made.append(GPTDataset(indexed, name, train, samples, Split.train, config))
        return BlendedDataset(made, shares, self.total, config)

    @property
    def fill(self) -> float:
        """1: there is no padding."""
        return 1.0

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What defines the rows and their order; among it the length of the run."""
        return super().fingerprint | {"rows": self.total}

    def epochs(self, rows: int) -> list[float]:
        """Return how often each set has been read after so many training rows, by its share of them."""
        shares = [weight / sum(self.weights) for weight in self.weights]
        return [rows * self.seq_length * s / tokens for s, tokens in zip(shares, self.train_tokens, strict=True)]

    def training(self, positions: np.ndarray) -> Batch:
        """Make a micro-batch of the samples at consecutive positions. Raises ShardError past the end of the run."""
        rows, length = len(positions), self.seq_length
        cells = np.empty((3, rows, length), np.int64)  # tokens, labels, positions
        weights = np.ones((rows, length), np.float32)
        bounds = [np.zeros(1, np.int64)]
        for row, position in enumerate(positions.tolist()):
            dataset, sample = self._sample(position)
            item = dataset[sample]
            starts = _pieces(dataset, sample)[1]
            weights[row, starts[1:] - 1] = 0  # the next token is another document's
            ends = np.append(starts[1:], length)
            ends = ends[: np.searchsorted(ends, length) + 1]  # a document of the extra token alone is none
            cells[0, row], cells[1, row] = item["tokens"].numpy(), item["labels"].numpy()
            cells[2, row] = np.arange(length) - np.repeat(starts[: len(ends)], np.diff(ends, prepend=0))
            bounds.append(row * length + ends)
        if cells.min() < 0 or cells[:2].max() >= self.vocab_size:
            raise ShardError(f"rows {positions[0]} to {positions[-1]} hold a token over the vocabulary")
        cells[1][weights == 0] = 0
        return Batch(cells[0], cells[1], weights, cells[2], np.concatenate(bounds).astype(np.int32), positions)

    def documents(self, positions: np.ndarray) -> list[str]:
        """Return the ids of the documents in the samples at these positions, in their order, each once."""
        found: dict[str, None] = {}
        for position in positions.tolist():
            part = self.parts[int(self.dataset.dataset_index[position])]
            dataset, sample = self._sample(position)
            pieces, starts = _pieces(dataset, sample)
            pieces = pieces[starts < self.seq_length].tolist()
            found.update(dict.fromkeys(self._ids(part.set, part.shard, pieces)))
        return list(found)

    def _sample(self, position: int) -> tuple[GPTDataset, int]:
        if position >= self.total:
            raise ShardError(f"row {position} is past the {self.total} rows that data.layout gpt_dataset was built for")
        made = self.dataset.datasets[int(self.dataset.dataset_index[position])]
        return made, int(self.dataset.dataset_sample_index[position])


def _pieces(dataset: GPTDataset, sample: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sequences in a sample, the extra token's included, and the place in it where each begins."""
    number = dataset.shuffle_index[sample]
    (first, skipped), (last, _) = dataset.sample_index[number], dataset.sample_index[number + 1]
    pieces = dataset.document_index[first : last + 1]
    lengths = dataset.dataset.sequence_lengths[pieces].astype(np.int64)
    starts = np.cumsum(lengths) - lengths - skipped
    starts[0] = 0
    whole = lengths > 0
    whole[0] = lengths[0] > skipped
    return pieces[whole], starts[whole]


@dataclass(frozen=True)
class _Part:
    """A shard as a data set of the blend."""

    set: int
    shard: int
    share: float  # of the samples


class _Tokenizer:
    """What GPTDataset asks of a tokenizer. It has no padding, and its end token is not used."""

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size, self.eod = vocab_size, 0
        self.unique_identifiers = {"vocab_size": vocab_size}
