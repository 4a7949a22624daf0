"""What formats whose scales are measured on text have in common: the text's settings, and the folder they need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from pretrain.hf.folder import shared_out
from pretrain.hf.weights import SHARD_BYTES
from serve.errors import ServeSettingsError
from serve.export import calibration, modelopt_layout
from serve.export.dequantised import Quantised, Unfolded
from serve.export.format import Verdict
from serve.export.selftest import Limits, examine
from serve.export.source import Source

Shapes = dict[str, tuple[int, ...]]
Companions = Callable[[str, tuple[int, ...]], Mapping[str, tuple[tuple[int, ...], str]]]


@dataclass(frozen=True)
class Calibrated:
    """The settings of every such format. Its layout is modelopt's, so it is tested as that is read."""

    name: ClassVar[str]
    library: ClassVar[str] = ""
    readers: ClassVar[str]  # what loads the layout, in words
    most: ClassVar[float]  # |written - source| / |source| of a tensor, see each format
    calibrate: str = ""  # a file of JSONL, JSON, Parquet (text or messages) or .txt
    samples: int = 512  # texts, as in the examples of modelopt and llm-compressor
    tokens: int = 512  # of a text, at most
    dtype: Literal["", "bfloat16", "float16"] = ""  # of what stays; "": the source's, bfloat16 where that is float32
    min_cosine: float = 0.9  # of logits to the source's
    shard_bytes: int = SHARD_BYTES  # of a file, at most, but at least one tensor

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for a number that cannot be."""
        for label in ("samples", "tokens", "shard_bytes"):
            if getattr(self, label) < 1:
                raise ServeSettingsError(f"{label} is {getattr(self, label)}; it must be at least 1")
        if not 0 <= self.min_cosine <= 1:
            raise ServeSettingsError(f"min_cosine is {self.min_cosine}; it must be from 0 to 1")

    def refuse(self, source: Source) -> None:
        """Raise where the layout cannot hold the model, or there is no text."""
        modelopt_layout.refuse(source, self.name)
        calibration.require(self.calibrate, self.name)

    def plan(self, source: Source) -> Mapping[str, int]:
        """Return the files of weights with the bytes of their tensors."""
        shapes, dtypes = self.layout(source)
        return {file: sum(sizes.values()) for file, sizes in shared_out(shapes, dtypes, self.shard_bytes).items()}

    def kept(self, source: Source) -> str:
        """Return the type of what is not quantised: engines compute in 16 bits, so never float32."""
        return self.dtype or ("bfloat16" if source.dtype == "float32" else source.dtype)

    def layout(self, source: Source) -> tuple[Shapes, dict[str, str]]:
        """Return shapes and types of what is written, in its order: beside each weight what belongs to it."""
        shapes: Shapes = {}
        dtypes: dict[str, str] = {}
        quantised = set(modelopt_layout.quantised(source))
        for name, shape in source.shapes.items():
            layer = name.removesuffix(".weight")
            if name == layer or layer not in quantised:
                shapes[name], dtypes[name] = shape, self.kept(source)
                continue
            for ending, (size, dtype) in self.companions(source, layer, shape).items():
                shapes[f"{layer}.{ending}"], dtypes[f"{layer}.{ending}"] = size, dtype
        return shapes, dtypes

    def companions(self, source: Source, layer: str, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return what is written for a quantised weight (out, in): weight first, shapes and types by their endings."""
        raise NotImplementedError

    def ids(self, folder: str, source: Source) -> list[list[int]]:
        """Return the text as sequences of ids. folder: where the tokenizer is."""
        return calibration.sequences(folder, self.calibrate, self.samples, calibration.longest(source, self.tokens))

    def test(self, source: Source, folder: str) -> Verdict:
        """Read the folder as an engine does, rounding inputs by its scales, and compare on the text's beginning."""
        written = Quantised(folder, source)
        length = calibration.longest(source, self.tokens)
        tokens: Any = calibration.compared(
            calibration.sequences(folder, self.calibrate, calibration.COMPARED[0], length)
        )
        verdict = examine(source, written, Limits(self.most, self.min_cosine), tokens, Unfolded(written, source))
        return replace(verdict, notes=tuple(self.notes(source)))

    def notes(self, source: Source) -> list[str]:
        """Return what a reader of the verdict must know."""
        made = [f"{self.readers}; transformers ignores the scales of this layout"]
        made += calibration.notes(source, self.tokens)
        if source.dtype == "float32" and not self.dtype:
            made.append("the source is float32: engines compute such folders in 16 bits, so the rest is bfloat16")
        if source.model.experts:
            made.append("the test rounds what goes into the experts, not what goes into their w2")
        return made
