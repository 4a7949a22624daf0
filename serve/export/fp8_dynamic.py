"""FP8 with a scale an output channel and dynamic scales a token: what llm-compressor calls FP8_DYNAMIC.

No text is needed for it. vLLM, SGLang and transformers with compressed-tensors read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from millrace import storage
from pretrain.errors import WeightsError
from pretrain.hf.folder import TensorFolder, shared_out, write_tensors
from pretrain.hf.weights import SHARD_BYTES
from serve.errors import ExportError, ServeSettingsError
from serve.export.format import Verdict
from serve.export.fp8 import dequantise_rows, per_token, quantise_rows
from serve.export.selftest import Limits, examine
from serve.export.source import Source
from serve.export.spelling import both_spellings

_REST = "bfloat16"  # scales, and what is not quantised
_SCALE = "_scale"  # behind a weight's name
_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3")
# |written - source| / |source| of a tensor: a uniform number errs by 2.6 %, and at most by half of 2^-3 of it.
_DIFFERENCE = 0.0625
_ARGUMENTS = {"num_bits": 8, "type": "float", "symmetric": True, "group_size": None}
_VERSION = "0.20.1"  # of compressed-tensors, whose fields these are


@dataclass(frozen=True)
class Fp8Dynamic:
    """Linear layers in FP8, but for the output layer, an expert's router and a head of scores; no calibration."""

    name: ClassVar[str] = "fp8-dynamic"
    library: ClassVar[str] = "transformers"
    shard_bytes: int = SHARD_BYTES  # of a file, at most, but at least one tensor
    min_cosine: float = 0.9  # of logits to the source's; scales that were ignored give less than 0.1

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for a size or a cosine that cannot be."""
        if self.shard_bytes < 1:
            raise ServeSettingsError(f"shard_bytes is {self.shard_bytes}; it must be at least 1")
        if not 0 <= self.min_cosine <= 1:
            raise ServeSettingsError(f"min_cosine is {self.min_cosine}; it must be from 0 to 1")

    def refuse(self, source: Source) -> None:
        """Refuse GPT-2, whose layers are transposed: readers of the format quantise torch.nn.Linear alone."""
        if source.family == "gpt2":
            raise ExportError(
                f"{source.name} is a GPT-2: its layers are Conv1D, and fp8-dynamic is read for torch.nn.Linear alone; "
                "families that it holds: llama, qwen2, qwen3, mixtral"
            )

    def plan(self, source: Source) -> Mapping[str, int]:
        """Return the files of weights with the bytes of their tensors."""
        shapes, dtypes = self._layout(source)
        return {file: sum(sizes.values()) for file, sizes in shared_out(shapes, dtypes, self.shard_bytes).items()}

    def write(self, source: Source, folder: str) -> float:
        """Write the folder. Memory: one tensor, and what it is cast to."""
        shapes, dtypes = self._layout(source)
        write_tensors(folder, shapes, dtypes, self._each(source), self.shard_bytes)
        source.copy_rest(folder)
        told = both_spellings(source.config, source.model, _REST)
        told["quantization_config"] = quantization_config(ignored(source))
        storage.write_json(storage.join(folder, "config.json"), told)
        return 0.0

    def test(self, source: Source, folder: str) -> Verdict:
        """Multiply the folder's weights by its scales, and round activations as its consumer does."""
        return examine(source, Scaled(folder), Limits(_DIFFERENCE, self.min_cosine))

    def _layout(self, source: Source) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
        """Return shapes and types of what is written, in its order."""
        shapes: dict[str, tuple[int, ...]] = {}
        dtypes: dict[str, str] = {}
        for name, shape in source.shapes.items():
            shapes[name], dtypes[name] = shape, _REST
            if quantised(name):
                dtypes[name] = "float8_e4m3fn"
                shapes[name + _SCALE], dtypes[name + _SCALE] = (shape[0], 1), _REST
        return shapes, dtypes

    def _each(self, source: Source) -> Iterator[tuple[str, Any]]:
        import torch

        for name in source.shapes:
            whole = source.part(name)
            if not quantised(name):
                yield name, whole
                continue
            made, scales = quantise_rows(whole.to(torch.bfloat16))
            del whole
            yield name, made
            yield name + _SCALE, scales


def quantised(name: str) -> bool:
    """Tell whether a tensor is the weight of a layer that this format quantises."""
    return name.endswith(tuple(f".{layer}.weight" for layer in _LAYERS))


def ignored(source: Source) -> list[str]:
    """Return the linear layers that stay as they are, by name."""
    routers = [name for name in source.shapes if name.endswith("block_sparse_moe.gate.weight")]
    return [name.removesuffix(".weight") for name in routers] + (["score"] if source.outputs else ["lm_head"])


def quantization_config(ignore: list[str]) -> dict[str, Any]:
    """Return what config.json says of the layout, field by field as compressed-tensors writes it."""
    weights = {**_ARGUMENTS, "strategy": "channel", "dynamic": False}
    inputs = {**_ARGUMENTS, "strategy": "token", "dynamic": True}
    group = {
        "format": "float-quantized", "targets": ["Linear"], "weights": weights, "input_activations": inputs,
        "output_activations": None,
    }  # fmt: skip
    return {
        "quant_method": "compressed-tensors", "format": "float-quantized", "quantization_status": "compressed",
        "config_groups": {"group_0": group}, "ignore": ignore, "kv_cache_scheme": None,
        "global_compression_ratio": None, "sparsity_config": {}, "transform_config": {}, "version": _VERSION,
    }  # fmt: skip


class Scaled:
    """A folder of this format, as its consumers compute with it. Raises ExportError where scales are missing."""

    def __init__(self, folder: str):
        self.config = storage.read_json(storage.join(folder, "config.json"))
        try:
            self._tensors = TensorFolder(folder)
        except WeightsError as error:
            raise ExportError(f"what was written would not load: {error}") from None
        there = self._tensors.shapes
        self.shapes = {name: shape for name, shape in there.items() if not name.endswith("weight" + _SCALE)}
        self._ignored = set(self.config["quantization_config"]["ignore"])
        lowest, highest = float("inf"), 0.0
        for name in self.shapes:
            if self._tensors.dtypes[name] == "float8_e4m3fn":
                scale = self._scale(name)
                lowest, highest = min(lowest, float(scale.min())), max(highest, float(scale.max()))
        self.scales = (lowest, highest)
        if not 0 < lowest <= highest < float("inf"):
            raise ExportError(f"what was written has scales from {lowest:g} to {highest:g}: they must be positive")

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor, multiplied by its scales where it is quantised."""
        bounds = bounds or tuple((0, size) for size in self.shapes[name])
        part = self._tensors.part(name, *bounds)
        if self._tensors.dtypes[name] != "float8_e4m3fn":
            return part
        return dequantise_rows(part, self._scale(name)[bounds[0][0] : bounds[0][1]])

    def inputs(self, layer: str) -> Callable[[Any], Any] | None:
        """Return the rounding of a quantised layer's inputs."""
        fp8 = self._tensors.dtypes.get(f"{layer}.weight") == "float8_e4m3fn"
        if fp8 and layer in self._ignored:
            raise ExportError(f"what was written has {layer} in FP8, which its config.json ignores")
        return per_token if fp8 else None

    def _scale(self, name: str) -> Any:
        expected = (self.shapes[name][0], 1)
        if self._tensors.shapes.get(name + _SCALE) != expected:
            raise ExportError(f"what was written has no {name}{_SCALE} of shape {expected}")
        return self._tensors.part(name + _SCALE, (0, expected[0]), (0, 1))
