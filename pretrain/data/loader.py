"""What one data-parallel rank trains on at any position of the run, read ahead in the background.

The position is one number: training rows consumed by all ranks. The batch at position p is the rows
p .. p + global_batch - 1; micro-batch m of rank r of d holds those from p + (m * d + r) * micro_batch on. So rows
do not depend on the number of ranks, and a run goes on at any position on any number of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import numpy as np

from pretrain.batch import Batch
from pretrain.config import Data
from pretrain.data.corpus import EMPTY, Corpus
from pretrain.errors import SettingsError


class Loader:
    """Batches of one data-parallel rank; `corpus` says what they are made of. Close it, or use it as a context."""

    def __init__(
        self,
        data: Data,
        global_batch: int,
        micro_batch: int,
        rank: int = 0,
        ranks: int = 1,
        vocab_size: int | None = None,
        tokenizer_sha256: str | None = None,
        corpus: Corpus | None = None,
    ) -> None:
        """Open `data` for data-parallel rank `rank` of `ranks`. Raises ShardError, SettingsError.

        `corpus` is what `data` was opened as, where that was done before; data.layout gpt_dataset needs it:
        pretrain.mcore.gpt_dataset.GptDatasetCorpus.
        """
        self.share = Share(global_batch, micro_batch, rank, ranks)
        if corpus is None and data.layout != "packed":
            raise SettingsError(f"data.layout {data.layout}: the loader was given no corpus of that layout")
        self.corpus = corpus or Corpus(data, vocab_size, tokenizer_sha256)
        self.ahead = Ahead(self._read, data.prefetch, global_batch)

    def batch(self, first_row: int) -> list[Batch]:
        """Return this rank's micro-batches at a position; the batches that follow are then read ahead.

        An error of the background thread is raised here, at the position it belongs to.
        """
        return self.ahead.get(first_row)

    def _read(self, first_row: int) -> list[Batch]:
        return [self.corpus.training(first_row + rows) for rows in self.share.micro_batches()]

    def validation(self) -> Iterator[list[Batch]]:
        """Yield this rank's micro-batches of all validation rows; nothing where no document is held out.

        Every rank gets equally many, as many a list as `batch` returns: the end is filled up with rows that
        have no weight and the number -1.
        """
        for first in range(0, self.corpus.validation_rows, self.share.global_batch):
            yield [
                self.corpus.validation(np.where(first + rows < self.corpus.validation_rows, first + rows, EMPTY))
                for rows in self.share.micro_batches()
            ]

    def documents(self, first_row: int) -> list[str]:
        """Return the ids of the documents in the batch of all ranks at a position, through the provenance."""
        return self.corpus.documents(first_row + np.arange(self.share.global_batch))

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What defines the rows and their order, by name, for a checkpoint to compare; JSON values."""
        return self.corpus.fingerprint

    def close(self) -> None:
        """End the background thread."""
        self.ahead.close()

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Share:
    """The rows of a global batch that are one data-parallel rank's."""

    def __init__(self, global_batch: int, micro_batch: int, rank: int, ranks: int) -> None:
        if global_batch % (micro_batch * ranks):
            raise SettingsError(
                f"training.global_batch {global_batch} is no multiple of training.micro_batch {micro_batch} x "
                f"{ranks} data-parallel ranks"
            )
        self.global_batch, self.micro_batch, self.rank, self.ranks = global_batch, micro_batch, rank, ranks

    def micro_batches(self) -> Iterator[np.ndarray]:
        """Yield the places in the global batch of each micro-batch: int64 (micro_batch,), consecutive."""
        for first in range(self.rank * self.micro_batch, self.global_batch, self.ranks * self.micro_batch):
            yield np.arange(first, first + self.micro_batch)


class Ahead:
    """Reads what will be asked for next in one background thread, and nothing out of turn."""

    def __init__(self, read: Callable[[int], list[Batch]], batches: int, stride: int) -> None:
        self._read, self._batches, self._stride = read, batches, stride
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._waiting: dict[int, Future[list[Batch]]] = {}

    def get(self, position: int) -> list[Batch]:
        """Return `read(position)`, and begin with the `batches` positions that follow, `stride` apart."""
        wanted = [position + i * self._stride for i in range(self._batches + 1)]
        for other in self._waiting.keys() - set(wanted):
            self._waiting.pop(other).cancel()
        for place in wanted:
            if place not in self._waiting:
                self._waiting[place] = self._pool.submit(self._read, place)
        return self._waiting.pop(position).result()

    def close(self) -> None:
        """Forget what was read ahead and end the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._waiting.clear()
