"""The test that every export ends with: what was written, read as its consumer would, against its source."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from millrace import storage
from pretrain.errors import WeightsError
from pretrain.hf.config import read_config
from pretrain.hf.weights import Weights
from serve.errors import ExportError
from serve.export.format import Verdict
from serve.export.forward import logits
from serve.export.source import Source

CHUNK = 16_000_000  # numbers of a tensor that are compared at once: 64 MB in float32
SEED, ROWS, LENGTH = 0, 2, 32  # of the tokens on which logits are compared


class Written(Protocol):
    """A folder that was written, as its consumer sees it: Hugging Face's names and shapes, scales applied."""

    @property
    def config(self) -> Mapping[str, Any]:
        """As config.json would say what its own configuration says, in the folder's own words."""
        ...

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of every tensor by its Hugging Face name."""
        ...

    @property
    def scales(self) -> tuple[float, float] | None:
        """The smallest and the largest, of quantised weights."""
        ...

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor as numbers that are computed with; without bounds the whole."""
        ...

    def inputs(self, layer: str) -> Callable[[Any], Any] | None:
        """Return what the consumer does to a layer's inputs, by the layer's name without .weight; None: nothing."""
        ...


@dataclass(frozen=True)
class Limits:
    """What a format may lose: more, and the folder would load wrong."""

    difference: float  # largest relative difference of a tensor, |written - source| / |source| in L2
    cosine: float  # of logits, at least, at every position


class Plain:
    """A folder of unquantised safetensors, read by its own config.json. Raises ExportError where it is not whole."""

    scales: tuple[float, float] | None = None

    def __init__(self, folder: str, outputs: int = 0):
        self.config = storage.read_json(storage.join(folder, "config.json"))
        try:
            self._weights = Weights(folder, read_config(folder), outputs)
        except WeightsError as error:
            raise ExportError(f"what was written would not load: {error}") from None
        self.shapes = self._weights.shapes

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor as it lies there."""
        return self._weights.part(name, *(bounds or [(0, size) for size in self.shapes[name]]))

    def inputs(self, layer: str) -> None:
        """Inputs are left alone."""


def examine(
    source: Source, written: Written, limits: Limits, tokens: Any = None, unfolded: Written | None = None
) -> Verdict:
    """Hold names, shapes and values of every tensor against the source's, and logits of both.

    tokens: int64 (rows, length); None: seeded ones. unfolded: the folder with factors taken out again that were
    moved from one tensor into another; its values are compared then, its logits never. Raises ExportError at the
    first that is past the limits. Cost: both are read twice, and computed once in float32 a layer at a time; memory:
    see `logits`.
    """
    worst = _compare(source, unfolded or written, limits.difference)
    tokens = probe(source) if tokens is None else tokens
    ours = logits(source.config, source.part, tokens, source.outputs)
    theirs = logits(written.config, written.part, tokens, source.outputs, written.inputs)
    found = cosine(ours, theirs)
    if not found >= limits.cosine:
        raise ExportError(
            f"what was written computes something else: the cosine of its logits to the source's is {found:.4f} at "
            f"one position, {limits.cosine:g} is the least; nothing is left of it"
        )
    return Verdict(found, len(source.shapes), worst, written.scales)


def probe(source: Source) -> Any:
    """Return seeded tokens, no matter which: int64 (ROWS, LENGTH), fewer where the model has fewer positions."""
    import torch

    length = min(LENGTH, source.model.positions or LENGTH)
    generator = torch.Generator().manual_seed(SEED)
    return torch.randint(0, source.model.vocab_size or 1, (ROWS, length), generator=generator)


def cosine(ours: Any, theirs: Any) -> float:
    """Return the lowest cosine over positions; of one or few outputs, whose sign alone says little, over all."""
    import torch

    if ours.shape[-1] < 16:
        ours, theirs = ours.reshape(1, -1), theirs.reshape(1, -1)
    found = torch.nn.functional.cosine_similarity(ours.double(), theirs.double(), dim=-1).min()
    return float(found)


def _compare(source: Source, written: Written, allowed: float) -> float:
    """Return the largest relative difference of a tensor. Raises ExportError naming the first that is past it."""
    if missing := sorted(set(source.shapes) - set(written.shapes)):
        raise ExportError(f"what was written lacks {len(missing)} tensors, the first is {missing[0]}")
    worst = 0.0
    for name, shape in source.shapes.items():
        if tuple(written.shapes[name]) != tuple(shape):
            raise ExportError(f"what was written has {name} as {written.shapes[name]}; the source has {shape}")
        apart = _difference(source, written, name, shape)
        if not apart <= allowed:
            raise ExportError(
                f"what was written has other numbers: {name} differs by {apart:.2g} of its size, {allowed:.2g} is the "
                "most; nothing is left of it"
            )
        worst = max(worst, apart)
    return worst


def _difference(source: Source, written: Written, name: str, shape: tuple[int, ...]) -> float:
    """Return |written - source| / |source| over a whole tensor, chunk by chunk; infinite for a number that is none."""
    import torch

    apart = size = 0.0
    for bounds in chunks(shape):
        ours, theirs = source.part(name, *bounds), written.part(name, *bounds)
        exact = ours.float()
        size += float(torch.linalg.vector_norm(exact)) ** 2
        if ours.dtype != theirs.dtype or not torch.equal(ours, theirs):
            apart += float(torch.linalg.vector_norm(theirs.float() - exact)) ** 2
    if not math.isfinite(size):
        raise ExportError(f"{source.name}: {name} holds numbers that are not finite; such a model answers nothing")
    if not math.isfinite(apart):
        return math.inf
    return math.sqrt(apart / size) if size else math.sqrt(apart)


def chunks(shape: tuple[int, ...], numbers: int = CHUNK) -> Iterator[list[tuple[int, int]]]:
    """Yield bounds that cover a tensor, some whole rows at a time."""
    rest = [(0, size) for size in shape[1:]]
    rows = max(1, numbers // max(1, math.prod(shape[1:])))
    for first in range(0, shape[0], rows):
        yield [(first, min(first + rows, shape[0])), *rest]
