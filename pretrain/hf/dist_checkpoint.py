"""Megatron's distributed checkpoints (torch_dist), read by one process without Megatron and without other ranks.

The format is torch.distributed.checkpoint's: `.metadata` says in which boxes each tensor was saved, and where
they lie in the ranks' files. Megatron's own default stacks what layers have alike, `decoder.layers.mlp...` with a
dimension of layers in front; our runs keep layers apart, `decoder.layers.0.mlp...`. Both are read.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from typing import Any

from millrace import storage
from pretrain.config import Model
from pretrain.errors import CheckpointError
from pretrain.hf.config import family_of
from pretrain.hf.rows import Box
from pretrain.hf.tables import ALIASES, table
from pretrain.hf.weights import SHARD_BYTES, Tokenizer, export_weights

LAYER = re.compile(r"^decoder\.layers\.(\d+)\.")
WEIGHTS = ("embedding.", "decoder.", "output_layer.")
EXTRA = "_extra_state"  # what Transformer Engine's modules keep beside weights


class DistCheckpoint:
    """Global tensors of a checkpoint, any box of them, whatever boxes they were saved in.

    Memory: the box asked for, and one saved box at a time. Raises CheckpointError where the folder is none.
    """

    def __init__(self, folder: str):
        from torch.distributed.checkpoint import FileSystemReader

        if not storage.is_local(folder):
            raise CheckpointError(f"a checkpoint is read in a local or network file system; {folder} is in none")
        self.folder = folder
        if not storage.exists(storage.join(folder, ".metadata")):
            raise CheckpointError(f"{folder} is no checkpoint: it has no .metadata")
        self._reader = FileSystemReader(storage.local_path(folder))
        try:
            self._metadata = self._reader.read_metadata()
        except (OSError, EOFError, pickle.UnpicklingError, AttributeError, ImportError) as error:
            raise CheckpointError(f"{folder}/.metadata is damaged: {error}") from None
        self._reader.set_up_storage_reader(self._metadata, is_coordinator=True)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the model's tensors, by their names in the checkpoint."""
        return {
            key: tuple(saved.size)
            for key, saved in self._metadata.state_dict_metadata.items()
            if key.startswith(WEIGHTS) and hasattr(saved, "chunks")
        }

    def adapters(self, prefix: str) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors whose names begin with a prefix."""
        saved = self._metadata.state_dict_metadata
        return {key: tuple(one.size) for key, one in saved.items() if key.startswith(prefix) and hasattr(one, "chunks")}

    def dtype(self) -> str:
        """Return the type of the model's weights, as torch calls it."""
        saved = self._metadata.state_dict_metadata
        first = next((key for key in self.shapes() if key.endswith("word_embeddings.weight")), None)
        if first is None:
            raise CheckpointError(f"{self.folder} holds no embedding.word_embeddings.weight: it is no language model's")
        return str(saved[first].properties.dtype).removeprefix("torch.")

    def dtype_of(self, box: Box) -> str:
        """Return the type that a tensor was saved in, as torch calls it. Raises as `read`."""
        saved = self._metadata.state_dict_metadata[self._found(box).key]
        return str(saved.properties.dtype).removeprefix("torch.")

    def read(self, box: Box) -> Any:
        """Return a box of a tensor. Raises CheckpointError where it is absent, smaller, or was not saved whole."""
        import torch
        from torch.distributed.checkpoint.planner import LoadPlan

        there = self._found(box)
        saved = self._metadata.state_dict_metadata[there.key]
        made = torch.empty(there.shape, dtype=saved.properties.dtype)
        items = list(_reads(there, saved))
        filled = sum(torch.Size(item.lengths).numel() for item in items)
        if filled < made.numel():
            raise CheckpointError(f"{self.folder}: {there.key} was not saved whole")
        try:
            self._reader.read_data(LoadPlan(items), _Into(made)).wait()
        except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
            raise CheckpointError(f"{self.folder}: {there.key} cannot be read: {error}") from None
        return made.view(box.shape)

    def check(self, model: Model, outputs: int = 0) -> None:
        """Raise CheckpointError where the checkpoint lacks a tensor of the model, has another shape, or has more.

        outputs: of the head that scores sequences; 0: the vocabulary.
        """
        used = set()
        for matrix in table(model, family_of(model), outputs):
            there = self._found(matrix.box)
            used.add(there.key)
            size = tuple(self._metadata.state_dict_metadata[there.key].size)
            if size[-len(matrix.shape) :] != matrix.shape:
                raise CheckpointError(
                    f"{self.folder}: {there.key} is saved as {size[-len(matrix.shape) :]}; the model has {matrix.shape}"
                )
        more = sorted(key for key in set(self.shapes()) - used if EXTRA not in key)
        if more:
            raise CheckpointError(f"{self.folder} has {more[0]}, which the model has not: it is another model's")

    def _found(self, box: Box) -> Box:
        """Return the box under the name and with the dimensions it was saved with."""
        saved = self._metadata.state_dict_metadata
        for name, layer in _spellings(box.key):
            if name in saved:
                lead = () if layer is None else (layer,)
                found = Box(name, lead + box.offset, (1,) * len(lead) + box.shape)
                size = tuple(saved[name].size)
                if len(size) != len(found.shape) or any(
                    at + length > whole for at, length, whole in zip(found.offset, found.shape, size, strict=True)
                ):
                    raise CheckpointError(f"{self.folder}: {name} is saved as {size}, too small for {found}")
                return found
        raise CheckpointError(f"{self.folder} has no {box.key}: it is another model's")


def _spellings(key: str) -> Iterator[tuple[str, int | None]]:
    """Yield the names a tensor may have in a checkpoint, with its place where layers are stacked."""
    for ours, other in {"": "", **ALIASES}.items():
        name = key.replace("." + ours, "." + other) if ours else key
        yield name, None
        found = LAYER.match(name)
        if found:
            yield LAYER.sub("decoder.layers.", name), int(found[1])


def _reads(box: Box, saved: Any) -> Iterator[Any]:
    """Yield what to read of each saved box that overlaps the one asked for."""
    import torch
    from torch.distributed.checkpoint.metadata import MetadataIndex
    from torch.distributed.checkpoint.planner import LoadItemType, ReadItem

    for chunk in saved.chunks:
        low = [max(a, b) for a, b in zip(box.offset, chunk.offsets)]
        high = [min(a + n, b + m) for a, n, b, m in zip(box.offset, box.shape, chunk.offsets, chunk.sizes, strict=True)]
        if any(a >= b for a, b in zip(low, high)):
            continue
        yield ReadItem(
            LoadItemType.TENSOR,
            MetadataIndex(box.key),
            torch.Size(a - b for a, b in zip(low, box.offset)),
            MetadataIndex(box.key, chunk.offsets),
            torch.Size(a - b for a, b in zip(low, chunk.offsets)),
            torch.Size(b - a for a, b in zip(low, high)),
        )


class _Into:
    """What torch's reader asks of a planner: where to put what it read."""

    def __init__(self, target: Any):
        self.target = target

    def resolve_tensor(self, item: Any) -> Any:
        window = self.target
        for axis, (start, length) in enumerate(zip(item.dest_offsets, item.lengths)):
            window = window.narrow(axis, start, length)
        return window

    def commit_tensor(self, item: Any, tensor: Any) -> None:
        """It was written in place."""


def export_checkpoint(
    checkpoint: str,
    model: Model,
    folder: str,
    tokenizer: Tokenizer | None,
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write the Hugging Face folder of a checkpoint; `dtype` None: the type its weights have.

    Memory: two matrices and the largest box a rank saved. Raises CheckpointError where the checkpoint is another
    model's, WeightsError where no Hugging Face family has such a model.
    """
    source = DistCheckpoint(checkpoint)
    source.check(model)
    export_weights(model, source.read, folder, tokenizer, dtype or source.dtype(), shard_bytes)
