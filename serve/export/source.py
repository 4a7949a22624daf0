"""The tensors of a model by their Hugging Face names, read one by one where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pretrain.config import Model


class Source(Protocol):
    """A model to be exported: the Hugging Face folder it is, or would be."""

    name: str  # as the user named it
    family: str  # of pretrain.hf.config.ARCHITECTURES
    model: Model
    config: Mapping[str, Any]  # of config.json, rotary positions in both spellings
    dtype: str  # the weights' type, as torch calls it
    shapes: Mapping[str, tuple[int, ...]]  # every tensor by its name, layer after layer

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return the part of a tensor from start to stop in each dimension; without bounds, the whole."""
        ...

    def copy_rest(self, folder: str) -> None:
        """Write what is no weight into a folder: tokenizer, chat template, generation_config.json."""
        ...
