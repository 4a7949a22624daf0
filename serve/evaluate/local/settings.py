"""What a model in this process runs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DTypeName = Literal["auto", "float32", "bfloat16", "float16"]
GeneratorName = Literal["engine", "transformers"]


@dataclass(frozen=True)
class LocalSettings:
    """The machine's part of an evaluation."""

    dtype: DTypeName = "auto"  # of the weights; auto: as they lie
    device: str = "cpu"  # cuda, cuda:1, ...
    tokens: int = 0  # of a forward pass; 0: what suits the device
    generator: GeneratorName = (
        "engine"  # what writes answers: millrace's own, or, for families it has not, transformers
    )
