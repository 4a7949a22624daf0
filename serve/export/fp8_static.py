"""FP8 with fixed scales in modelopt's layout, which TensorRT-LLM, vLLM and SGLang load: E4M3, one scale a tensor."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pretrain.hf.folder import write_tensors
from serve.errors import ExportError
from serve.export import calibration, casting, modelopt_layout, network
from serve.export.calibrated import Calibrated
from serve.export.calibration import Amax
from serve.export.fp8 import LARGEST
from serve.export.source import Source
from serve.export.spelling import both_spellings


@dataclass(frozen=True)
class Fp8(Calibrated):
    """Linear layers' weights and inputs in FP8; a scale is the largest magnitude over 448, of inputs by `calibrate`."""

    name: ClassVar[str] = "fp8"
    readers: ClassVar[str] = "load it with TensorRT-LLM, vLLM or SGLang"
    most: ClassVar[float] = 0.0625  # a uniform number errs by 2.6 %, and at most by half of 2^-3 of it
    kv_cache: Literal["", "fp8"] = ""  # fp8: scales for a key/value cache too

    def refuse(self, source: Source) -> None:
        """Raise where the layout cannot hold the model, or there is no text."""
        super().refuse(source)
        for layer in modelopt_layout.quantised(source):
            rows, columns = source.shapes[f"{layer}.weight"]
            if rows * columns % 4:  # or the tensors behind it would begin where no reader can map them
                raise ExportError(f"{layer}.weight is {rows} x {columns}; fp8 takes numbers in multiples of 4")

    def companions(self, source: Source, layer: str, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return the weight and its scales, of the cache too where keys and values are made."""
        made = {"weight": (shape, "float8_e4m3fn"), "weight_scale": ((), "float32"), "input_scale": ((), "float32")}
        if self.kv_cache and layer.endswith(("k_proj", "v_proj")):
            made[f"{layer[-6]}_scale"] = ((), "float32")
        return made

    def write(self, source: Source, folder: str) -> float:
        """Calibrate, then write. Memory: the model in `dtype` while it is calibrated; then two tensors."""
        began, kind = time.perf_counter(), self.kept(source)
        casting.require(source, kind)
        with network.as_folder(source, folder) as plain:
            amax = calibration.measure(network.opened(plain, kind), self.ids(plain, source))
        inputs = _inputs(modelopt_layout.quantised(source), amax)
        seconds = time.perf_counter() - began
        shapes, dtypes = self.layout(source)
        write_tensors(folder, shapes, dtypes, self._tensors(source, inputs, amax, kind), self.shard_bytes)
        source.copy_rest(folder)
        told = modelopt_layout.settings("FP8", modelopt_layout.excluded(source), "FP8" if self.kv_cache else None)
        modelopt_layout.write_configs(folder, both_spellings(source.config, source.model, kind), told)
        return seconds

    def _tensors(self, source: Source, inputs: dict[str, float], amax: Amax, kind: str) -> Iterator[tuple[str, Any]]:
        import torch

        for name in source.shapes:
            weight, layer = source.part(name).to(getattr(torch, kind)), name.removesuffix(".weight")
            if name == layer or layer not in inputs:
                yield name, weight
                continue
            top = weight.abs().amax().item()
            if partner := _partner(layer):
                other = source.part(f"{partner}.weight").to(weight.dtype)
                top = max(top, other.abs().amax().item())
                del other
            if not top < float("inf"):
                raise ExportError(f"{name} has the largest magnitude {top}: its numbers are not finite")
            scale = torch.tensor(top / LARGEST if top else 1.0)
            yield name, weight.div(scale).clamp_(-LARGEST, LARGEST)
            yield f"{layer}.weight_scale", scale
            yield f"{layer}.input_scale", torch.tensor(inputs[layer]) / LARGEST
            if self.kv_cache and layer.endswith(("k_proj", "v_proj")):
                tops = amax.keys if layer.endswith("k_proj") else amax.values
                yield f"{layer}.{layer[-6]}_scale", torch.tensor(tops[int(layer.split(".")[2])]) / LARGEST


def _partner(layer: str) -> str:
    """Return the other half of an expert's gate and up, which are one matrix in engines and have one scale; or ""."""
    if ".experts." not in layer or layer.endswith("w2"):
        return ""
    return layer[:-1] + ("3" if layer.endswith("1") else "1")


def _inputs(layers: list[str], amax: Amax) -> dict[str, float]:
    """Return the largest input of each layer; experts of one layer share theirs, as they do in modelopt's.

    Raises ExportError for a layer that no text reached.
    """
    made: dict[str, float] = {}
    for layer in layers:
        front, expert, back = layer.partition(".experts.")
        ends = ("w1", "w3") if back.endswith(("w1", "w3")) else ("w2",)
        group = (
            [top for name, top in amax.inputs.items() if name.startswith(front + expert) and name.endswith(ends)]
            if expert
            else [amax.inputs[layer]]
            if layer in amax.inputs
            else []
        )
        if not group:
            raise ExportError(f"{layer} was not reached by the calibration text")
        made[layer] = max(group)
    return made
