"""The tensors of a model by their Hugging Face names, read one by one where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pretrain.config import Model


class Source(Protocol):
    """A model to be exported: the Hugging Face folder it is, or would be."""

    @property
    def name(self) -> str:
        """As the user named it."""
        ...

    @property
    def run(self) -> str:
        """The folder of the run that made it; "" where none is known."""
        ...

    @property
    def family(self) -> str:
        """One of pretrain.hf.config.ARCHITECTURES."""
        ...

    @property
    def model(self) -> Model:
        """Its shape, with vocabulary and positions."""
        ...

    @property
    def outputs(self) -> int:
        """Scores of the head in the output layer's place; 0: a language model."""
        ...

    @property
    def config(self) -> Mapping[str, Any]:
        """Of config.json, rotary positions and the weights' type in both spellings."""
        ...

    @property
    def dtype(self) -> str:
        """Of the embedding, as torch calls it: the type a folder is said to have."""
        ...

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Every tensor by its name, layer after layer."""
        ...

    @property
    def dtypes(self) -> Mapping[str, str]:
        """Of each tensor, as torch calls it: float32, bfloat16 or float16."""
        ...

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return the part of a tensor from start to stop in each dimension; without bounds, the whole.

        It is not to be written into: it may be the file's own bytes.
        """
        ...

    def copy_rest(self, folder: str) -> None:
        """Write what is no weight into a folder: tokenizer, chat template, generation_config.json."""
        ...
