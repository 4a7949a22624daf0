"""The format trtllm: a checkpoint for TensorRT-LLM's TensorRT backend, any tensor and pipeline parallel size."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from millrace import storage
from millrace.config import did_you_mean
from pretrain.hf.folder import width, write_file
from serve.errors import ExportError, ServeSettingsError
from serve.export import calibration, casting, network
from serve.export.calibration import Amax
from serve.export.folder import FLOATS
from serve.export.format import Verdict
from serve.export.forward import logits
from serve.export.selftest import Limits, cosine, examine, probe
from serve.export.source import Source
from serve.export.trtllm.config import ALGORITHMS, checkpoint_config
from serve.export.trtllm.ranks import Entry, entries, layers_of
from serve.export.trtllm.reading import Read
from serve.export.trtllm.scales import CACHE, Scales, beside, quantised
from serve.export.trtllm.tables import TABLES, Share

# A cast rounds each number by at most half a unit in the last place, so a tensor by no more; E4M3 has 3 bits after the
# first, and numbers below 2^-6 have fewer.
_ROUNDING = {"float32": 0.0, "bfloat16": 2.0**-8, "float16": 2.0**-11, "float8_e4m3fn": 2.0**-4}
_CAST = 0.999  # the least cosine of logits after a cast; weights in the wrong place give less than 0.1


@dataclass(frozen=True)
class TensorrtLlm:
    """config.json and rank0.safetensors, rank1..., for TensorRT-LLM up to 1.2 (trtllm-build)."""

    name: ClassVar[str] = "trtllm"
    library: ClassVar[str] = ""
    tp: int = 1  # GPUs that share every layer
    pp: int = 1  # stages of layers
    dtype: str = ""  # float16, bfloat16 or float32; "": the model's
    quantization: str = "none"  # none, fp8 (calibrated), w8a16 or w4a16 (weights, when TensorRT-LLM loads them)
    kv_cache: str = ""  # fp8; "": of the checkpoint's type
    parallel_embedding: bool = True  # the embeddings' rows are shared out too; else every rank has all
    calibrate: str = ""  # text: JSONL, JSON, Parquet or .txt
    samples: int = 512  # texts that are read of it, at most
    tokens: int = 512  # of a text, at most
    min_cosine: float = 0.8  # of logits to the source's, where weights are quantised

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for a setting that cannot be."""
        for name in ("tp", "pp", "samples", "tokens"):
            if getattr(self, name) < 1:
                raise ServeSettingsError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name, known in (("dtype", ("", *FLOATS)), ("quantization", (*ALGORITHMS,)), ("kv_cache", ("", "fp8"))):
            value = getattr(self, name)
            if value not in known:
                there = ", ".join(one or '""' for one in known)
                raise ServeSettingsError(f"{name} is {value!r}; known: {there}.{did_you_mean(value, known)}")
        if not 0 <= self.min_cosine <= 1:
            raise ServeSettingsError(f"min_cosine is {self.min_cosine}; it must be from 0 to 1")
        if self._calibrated:
            calibration.require(self.calibrate, "trtllm with fp8")
        elif self.calibrate:
            raise ServeSettingsError(
                f"calibrate is {self.calibrate}, but nothing is measured: quantization=fp8 or kv_cache=fp8 would be"
            )

    @property
    def _calibrated(self) -> bool:
        return self.quantization == "fp8" or bool(self.kv_cache)

    def refuse(self, source: Source) -> None:
        """Raise ExportError for a model that cannot be shared out so, or that TensorRT-LLM has no layers for."""
        model = source.model
        if source.outputs:
            raise ExportError(f"{source.name} scores sequences; a TensorRT-LLM checkpoint holds language models")
        if source.family not in TABLES:
            raise ExportError(f"{source.name} is a {source.family} model; trtllm holds {', '.join(TABLES)}")
        for name, size in (("heads", model.heads), ("ffn_size", model.ffn_size)):
            if size % self.tp:
                raise ExportError(f"tp {self.tp} does not divide the model's {name}, {size}")
        if model.key_heads % self.tp and self.tp % model.key_heads:
            raise ExportError(
                f"tp {self.tp} neither divides nor is a multiple of the model's key heads, {model.key_heads}"
            )
        if self.pp > model.layers:
            raise ExportError(f"pp {self.pp} is more than the model's layers, {model.layers}")
        if self.quantization in ("w8a16", "w4a16") and self._dtype(source) == "float32":
            raise ExportError(f"{self.quantization} computes in float16 or bfloat16, the model is float32; set dtype")

    def plan(self, source: Source) -> Mapping[str, int]:
        """Return the ranks' files with the bytes of their tensors."""
        return {
            f"rank{rank}.safetensors": sum(
                math.prod(shape) * width(dtype) for _, shape, dtype, _ in self._tensors(source, rank, None)
            )
            for rank in range(self.tp * self.pp)
        }

    def write(self, source: Source, folder: str) -> float:
        """Write the folder, rank after rank. Memory: one tensor of a rank, twice; with FP8 one layer's weight whole.

        Returns the seconds of calibration. FP8 reads every weight once more, for the largest.
        """
        start = time.perf_counter()
        seen = self._measured(source, folder) if self._calibrated else None
        took = time.perf_counter() - start if seen else 0.0
        self.write_with(source, folder, seen)
        return took

    def write_with(self, source: Source, folder: str, seen: Amax | None) -> None:
        """Write the folder, given what a calibration saw, which only FP8 needs."""
        casting.require(source, self._dtype(source))
        scales = Scales(source, seen) if seen is not None else None
        for rank in range(self.tp * self.pp):
            planned = list(self._tensors(source, rank, scales))
            shapes = {name: shape for name, shape, _, _ in planned}
            dtypes = {name: dtype for name, _, dtype, _ in planned}
            made = ((name, value()) for name, _, _, value in planned)
            write_file(storage.join(folder, f"rank{rank}.safetensors"), shapes, dtypes, made)
        source.copy_rest(folder)
        told = checkpoint_config(
            source.model, source.family, self.tp, self.pp, self._dtype(source), self.quantization, self.kv_cache,
            self.parallel_embedding,
        )  # fmt: skip
        storage.write_json(storage.join(folder, "config.json"), told)

    def test(self, source: Source, folder: str) -> Verdict:
        """Put the ranks together again, by config.json alone, and hold every tensor and the logits to the source's."""
        dtype, fp8 = self._dtype(source), self.quantization == "fp8"
        cast = any(each != dtype for each in source.dtypes.values())
        allowed = (_ROUNDING["float8_e4m3fn"] if fp8 else 0.0) + (_ROUNDING[dtype] if cast else 0.0)
        exact = not allowed and source.model.activation != "gelu"
        least = self.min_cosine if fp8 else 1 - 1e-6 if exact else _CAST
        tokens = self._text(source, folder) if self._calibrated else probe(source)
        found = examine(source, Read(folder), Limits(allowed, least), tokens)
        if self.quantization in ("w8a16", "w4a16"):
            found = replace(found, cosine=self._rounded(source, folder, tokens))
        return replace(found, notes=tuple(self._notes(source)))

    def _rounded(self, source: Source, folder: str, tokens: Any) -> float:
        """Return the cosine of logits of weights rounded as TensorRT-LLM does. Raises ExportError below the least."""
        read = Read(folder, rounded=True)
        found = cosine(logits(source.config, source.part, tokens), logits(read.config, read.part, tokens))
        if not found >= self.min_cosine:
            raise ExportError(
                f"rounded to {self.quantization} the model computes something else: the cosine of its logits to the "
                f"source's is {found:.4f}, {self.min_cosine:g} is the least (min_cosine)"
            )
        return found

    def _notes(self, source: Source) -> Iterator[str]:
        if self._calibrated:
            yield from calibration.notes(source, self.tokens)
        if self.quantization in ("w8a16", "w4a16"):
            yield (
                f"weights are written as {self._dtype(source)}: TensorRT-LLM makes {self.quantization} of them when it "
                "loads them, in the layout of its GPU; the logits compared are of weights rounded as it rounds them"
            )
        if source.model.activation == "gelu":
            yield "TensorRT-LLM computes gelu by tanh, this model exactly; the logits compared are by tanh"

    def _dtype(self, source: Source) -> str:
        return self.dtype or source.dtype

    def _text(self, source: Source, folder: str) -> Any:
        """Return tokens of the calibration text, int64 (texts, length)."""
        length = calibration.longest(source, self.tokens)
        with network.as_folder(source, folder) as place:
            return calibration.compared(calibration.sequences(place, self.calibrate, calibration.COMPARED[0], length))

    def _measured(self, source: Source, folder: str) -> Amax:
        with network.as_folder(source, folder) as place:
            ids = calibration.sequences(place, self.calibrate, self.samples, calibration.longest(source, self.tokens))
            return calibration.measure(network.opened(place, "float32"), ids)

    def _tensors(
        self, source: Source, rank: int, scales: Scales | None
    ) -> Iterator[tuple[str, tuple[int, ...], str, Any]]:
        """Yield name, shape, dtype and, as something to call, value of a rank's tensors in order."""
        stage, share = rank // self.tp, Share(self.tp, rank % self.tp, self.parallel_embedding)
        for entry in entries(source.model, source.family, share, self.pp, stage):
            fp8 = entry.linear and self.quantization == "fp8"
            dtype = "float8_e4m3fn" if fp8 else entry.dtype or self._dtype(source)
            yield entry.name, entry.shape, dtype, _value(entry, source, scales if fp8 else None)
            if fp8:
                per = (len(entry.matrices), 1) if entry.stacked else (1,)
                weights, inputs = beside(entry.name)
                yield weights, per, "float32", lambda entry=entry: scales and scales.weights(entry)
                yield inputs, (1,), "float32", lambda entry=entry: scales and scales.inputs(entry)
        if self.kv_cache:
            for local, layer in enumerate(layers_of(source.model.layers, self.pp, stage)):
                name = f"transformer.layers.{local}.attention.{CACHE}"
                yield name, (1,), "float32", lambda layer=layer: scales and scales.cache(layer)


def _value(entry: Entry, source: Source, scales: Scales | None) -> Any:
    def read() -> Any:
        import torch

        if scales is not None:
            return quantised(entry, source, scales.weights(entry))
        made = [entry.read(source, number) for number in range(len(entry.matrices))]
        return torch.stack(made) if entry.stacked else made[0]

    return read
