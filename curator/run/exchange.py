"""Rows on disk, dealt into ranges: what a step must see together comes together in one task's memory.

    writer 0   [range 0 | range 1 | range 2]      one Arrow file a writer, a record batch a range
    writer 1   [range 0 | range 1 | range 2]
                   ^ a reader takes batch r of every file, and nothing else

So a corpus stage moves its hashes between parts without holding them all: memory is that of one range,
the bytes on disk those of the rows. Files are scratch: the runner deletes them when the stage is fitted.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from millrace import storage


@dataclass(frozen=True)
class Exchange:
    """A folder of dealt rows. Small enough to be sent to every task."""

    folder: str  # URL
    ranges: int

    def write(self, name: str, table: pa.Table, ranges: np.ndarray) -> None:
        """Write rows under a name of their own, each into its range: int64 (rows), 0 <= range < `ranges`.

        Rows of one range keep their order. Memory: the table twice.
        """
        bounds = np.concatenate(([0], np.cumsum(np.bincount(ranges, minlength=self.ranges))))
        if np.any(ranges[1:] < ranges[:-1]):
            short = ranges.astype(np.uint16) if self.ranges <= 1 << 16 else ranges  # numpy sorts these by radix
            table = table.take(pa.array(np.argsort(short, kind="stable")))
        dealt = table.combine_chunks()
        with storage.writing(storage.join(self.folder, name + ".arrow"), durable=False) as stream:
            file = pa.ipc.new_file(stream, table.schema)
            for start, stop in itertools.pairwise(bounds.tolist()):
                batches = dealt.slice(start, stop - start).to_batches()
                file.write_batch(batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema))
            file.close()

    def read(self, number: int, schema: pa.Schema) -> pa.Table:
        """Return the rows of one range, in the order of the writers' names; `schema` is that of every file."""
        return pa.Table.from_batches([batch for batch in self._batches(number) if len(batch)], schema)

    def _batches(self, number: int) -> Iterator[pa.RecordBatch]:
        for name in storage.list_folder(self.folder):
            url = storage.join(self.folder, name)
            if storage.is_local(url):
                yield pa.ipc.open_file(pa.memory_map(str(storage.local_path(url)))).get_batch(number)
            else:
                with storage.opening(url) as stream:
                    yield pa.ipc.open_file(stream).get_batch(number)


def range_of(keys: np.ndarray, ranges: int) -> np.ndarray:
    """Return the range of each key, int64 (rows): uint64 keys spread evenly, as hashes are, cut into `ranges`
    equal intervals; ranges <= 2**32."""
    high = keys >> np.uint64(32)
    return (high * np.uint64(ranges) >> np.uint64(32)).astype(np.int64)
