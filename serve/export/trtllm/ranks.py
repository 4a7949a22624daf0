"""What is in the file of one rank, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pretrain.config import Model
from pretrain.hf.rows import Matrix, Tensors
from serve.export.trtllm.tables import LAYER, TABLES, Rule, Share


@dataclass(frozen=True)
class Entry:
    """One tensor of a rank: a matrix, or those of all experts, stacked; `columns` from where to where."""

    name: str
    matrices: tuple[Matrix, ...]
    columns: tuple[int, int] | None  # None: a vector
    linear: bool
    dtype: str  # "": that of the checkpoint
    sources: tuple[tuple[str, ...], ...]  # of each matrix: the Hugging Face tensors that its scale is over

    @property
    def stacked(self) -> bool:
        return self.matrices[0].expert is not None

    @property
    def shape(self) -> tuple[int, ...]:
        rows = self.matrices[0].rows
        one = (rows,) if self.columns is None else (rows, self.columns[1] - self.columns[0])
        return (len(self.matrices), *one) if self.stacked else one

    def read(self, tensors: Tensors, expert: int = 0) -> Any:
        """Return one matrix, of the type it has at the source."""
        matrix = self.matrices[expert]
        if self.columns is None:
            return matrix.join(tensors, (0,), (matrix.rows,))
        start, stop = self.columns
        return matrix.join(tensors, (0, start), (matrix.rows, stop - start))


def layers_of(layers: int, pp: int, stage: int) -> range:
    """Return the layers of a pipeline stage: where pp does not divide them, the first stages have one more."""
    each, more = divmod(layers, pp)
    start = stage * each + min(stage, more)
    return range(start, start + each + (stage < more))


def entries(model: Model, family: str, share: Share, pp: int, stage: int) -> Iterator[Entry]:
    """Yield the tensors of the rank of a pipeline stage, in the order in which they are written."""
    rules = [rule for rule in TABLES[family] if rule.when(model)]
    inside = [rule for rule in rules if rule.name.startswith(LAYER)]
    first = [rule for rule in rules if "_embedding." in rule.name]
    last = [rule for rule in rules if rule not in inside and rule not in first]
    if stage == 0:
        yield from (_entry(model, rule, share, 0, 0) for rule in first)
    for local, layer in enumerate(layers_of(model.layers, pp, stage)):
        yield from (_entry(model, rule, share, local, layer) for rule in inside)
    if stage == pp - 1:
        yield from (_entry(model, rule, share, 0, 0) for rule in last)


def _entry(model: Model, rule: Rule, share: Share, local: int, layer: int) -> Entry:
    stacked = "{expert}" in rule.sources[0]
    name = rule.name.format(layer=local)
    columns = None if rule.columns is None else rule.columns(model, share)
    matrices, sources = [], []
    for expert in range(model.experts or 0) if stacked else [None]:
        names, alike = (
            tuple(source.format(layer=layer, expert=expert) for source in each) for each in (rule.sources, rule.alike)
        )
        width = None if columns is None else columns[1]
        matrices.append(Matrix(name, rule.layout(model, share, names), width, expert, rule.transposed))
        sources.append(names + alike)
    return Entry(name, tuple(matrices), columns, rule.linear, rule.dtype, tuple(sources))
