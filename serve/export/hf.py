"""Hugging Face safetensors: what transformers, vLLM, SGLang and TensorRT-LLM's PyTorch backend read unquantised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace import storage
from pretrain.hf.folder import shared_out, write_tensors
from pretrain.hf.weights import SHARD_BYTES
from serve.errors import ServeSettingsError
from serve.export import casting
from serve.export.folder import FLOATS
from serve.export.format import Verdict
from serve.export.selftest import Limits, Plain, examine
from serve.export.source import Source
from serve.export.spelling import both_spellings

# A cast rounds each number by at most half a unit in the last place, which is this of it; float32 holds the others.
_ROUNDING = {"float32": 0.0, "bfloat16": 2.0**-8, "float16": 2.0**-11}
_COSINE = 0.999  # of logits after a cast; weights that are loaded wrong give less than 0.1


@dataclass(frozen=True)
class HuggingFace:
    """Sharded safetensors with index, config.json in both spellings, generation config, tokenizer, template."""

    name: ClassVar[str] = "hf"
    library: ClassVar[str] = "transformers"
    dtype: str = ""  # float32, bfloat16 or float16; "": each tensor as it is
    shard_bytes: int = SHARD_BYTES  # of a file, at most, but at least one tensor

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for a type or a size that cannot be."""
        if self.dtype and self.dtype not in FLOATS:
            raise ServeSettingsError(f"dtype is {self.dtype!r}; hf is written in {', '.join(FLOATS)}")
        if self.shard_bytes < 1:
            raise ServeSettingsError(f"shard_bytes is {self.shard_bytes}; it must be at least 1")

    def refuse(self, source: Source) -> None:
        """Every source can be written."""

    def plan(self, source: Source) -> Mapping[str, int]:
        """Return the files of weights with the bytes of their tensors."""
        files = shared_out(source.shapes, self._dtypes(source), self.shard_bytes)
        return {file: sum(sizes.values()) for file, sizes in files.items()}

    def write(self, source: Source, folder: str) -> float:
        """Write the folder. Memory: one tensor. Raises ExportError where float16 cannot hold the weights."""
        casting.require(source, self.dtype)
        write_tensors(folder, source.shapes, self._dtypes(source), _each(source), self.shard_bytes)
        source.copy_rest(folder)
        told = both_spellings(source.config, source.model, self.dtype or source.dtype)
        storage.write_json(storage.join(folder, "config.json"), told)
        return 0.0

    def test(self, source: Source, folder: str) -> Verdict:
        """Load the folder's tensors and configuration again; without a cast every number is the same."""
        written = Plain(folder, source.outputs)
        cast = any(self._dtypes(source)[name] != dtype for name, dtype in source.dtypes.items())
        limits = Limits(_ROUNDING[self.dtype], _COSINE) if cast else Limits(0.0, 1 - 1e-6)
        return examine(source, written, limits)

    def _dtypes(self, source: Source) -> dict[str, str]:
        return dict.fromkeys(source.shapes, self.dtype) if self.dtype else dict(source.dtypes)


def _each(source: Source) -> Iterator[tuple[str, Any]]:
    for name in source.shapes:
        yield name, source.part(name)
