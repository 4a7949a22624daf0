"""A Megatron checkpoint of a run as a source of exports: the tensors its Hugging Face folder would have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pretrain.config import Model
from pretrain.errors import WeightsError
from pretrain.hf.config import family_of
from pretrain.hf.dist_checkpoint import DistCheckpoint
from pretrain.hf.rows import Box, Matrix
from pretrain.hf.tables import OUTPUT, SCORE, table
from pretrain.hf.weights import Weights
from serve.errors import ModelFolderError
from serve.export.spelling import both_spellings

ADAPTERS = "adapters."  # before the names of LoRA's tensors, which are alone with their head in a checkpoint then


class CheckpointSource:
    """A checkpoint in the torch_dist format, checked against the model by its metadata; no tensor is read.

    config: of config.json, but for what `both_spellings` adds. rest: writes what is no weight into a folder. Memory
    of `part`: the matrix a tensor lies in, kept until another one is asked for. Raises CheckpointError, WeightsError.
    """

    def __init__(
        self, name: str, run: str, checkpoint: str, model: Model, config: Mapping[str, Any],
        rest: Callable[[str], None], outputs: int = 0,
    ):  # fmt: skip
        self.name, self.run, self.model, self.outputs = name, run, model, outputs
        self.family = family_of(model)
        self._saved = DistCheckpoint(checkpoint)
        self._saved.check(model, outputs)
        self._matrices = {part: matrix for matrix in table(model, self.family, outputs) for part in matrix.sources()}
        self.shapes = {name: matrix.sources()[name] for name, matrix in self._matrices.items()}
        self.dtype = self._saved.dtype()
        self.dtypes = {name: self._saved.dtype_of(matrix.box) for name, matrix in self._matrices.items()}
        self.config = both_spellings(config, model, self.dtype)
        self.copy_rest = rest
        self._last: tuple[Matrix, dict[str, Any]] | None = None

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor; its whole matrix is read."""
        matrix = self._matrices[name]
        if self._last is None or self._last[0] is not matrix:
            self._last = None  # before the next one is read
            self._last = matrix, dict(matrix.split(self._saved.read(matrix.box).view(matrix.shape)))
        return self._last[1][name][tuple(slice(*each) for each in bounds)]


class AdaptedSource:
    """A Hugging Face folder with the LoRA adapters of a checkpoint, merged as `named_weights` of a policy merges them.

    scale: what they add is multiplied by it. dtype: of the run. The head of a reward model is in the checkpoint too.
    Raises CheckpointError, WeightsError, ModelFolderError.
    """

    def __init__(
        self, name: str, run: str, checkpoint: str, base: str, model: Model, config: Mapping[str, Any],
        rest: Callable[[str], None], scale: float, dtype: str, outputs: int = 0,
    ):  # fmt: skip
        self.name, self.run, self.model, self.outputs, self.dtype = name, run, model, outputs, dtype
        self._weights, self._saved, self._scale = Weights(base, model, outputs), DistCheckpoint(checkpoint), scale
        self.family = family_of(model)
        self.shapes = dict(self._weights.shapes) | ({SCORE: (outputs, model.hidden_size)} if outputs else {})
        self.dtypes = dict.fromkeys(self.shapes, dtype)
        self.config = both_spellings(config, model, dtype)
        self.copy_rest = rest
        self._adapters = self._saved.adapters(ADAPTERS)
        if unknown := sorted(name for name in self._layers() if f"{name}.weight" not in self.shapes):
            raise ModelFolderError(f"{checkpoint} has adapters of {unknown[0]}, a layer that {base} has not")
        self._check(checkpoint)

    def _layers(self) -> set[str]:
        return {name.removeprefix(ADAPTERS).rpartition(".")[0] for name in self._adapters}

    def _check(self, checkpoint: str) -> None:
        """Raise ModelFolderError for adapters whose shapes do not fit their layers."""
        transposed = self.family == "gpt2"
        for layer in sorted(self._layers()):
            shapes = [self._adapters.get(f"{ADAPTERS}{layer}.{part}", ()) for part in ("lora_A", "lora_B")]
            rows, columns = self.shapes[f"{layer}.weight"][:: -1 if transposed else 1]
            rank = shapes[0][0] if shapes[0] else 0
            if shapes != [(rank, columns), (rows, rank)]:
                raise ModelFolderError(
                    f"{checkpoint}: the adapters of {layer} have the shapes {shapes[0]} and {shapes[1]}; "
                    f"(rank, {columns}) and ({rows}, rank) were expected"
                )

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor, merged in float32 and cast; the whole is computed."""
        import torch

        cut = tuple(slice(*each) for each in bounds)
        if self.outputs and name == SCORE:
            return self._saved.read(Box(OUTPUT, (0, 0), self.shapes[SCORE]))[cut]
        whole = self._weights.part(name, *[(0, size) for size in self.shapes[name]])
        layer = name.removesuffix(".weight")
        if name != layer and f"{ADAPTERS}{layer}.lora_A" in self._adapters:
            a, b = (self._read(f"{ADAPTERS}{layer}.{part}").float() for part in ("lora_A", "lora_B"))
            added = (b @ a) * self._scale
            base = whole.to(getattr(torch, self.dtype)).float()  # the run's precision, in which it was trained
            whole = base + (added.T if self.family == "gpt2" else added)
        return whole.to(getattr(torch, self.dtype))[cut]

    def _read(self, name: str) -> Any:
        shape = self._adapters[name]
        return self._saved.read(Box(name, (0,) * len(shape), shape))


def model_of(folder: str) -> Model:
    """Return the model of a base folder. Raises ModelFolderError."""
    from pretrain.hf.config import read_config

    try:
        return read_config(folder)
    except WeightsError as error:
        raise ModelFolderError(str(error)) from None
