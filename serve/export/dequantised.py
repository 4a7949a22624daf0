"""A folder in modelopt's layout, read as an engine reads it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from millrace import storage
from pretrain.errors import WeightsError
from pretrain.hf.folder import TensorFolder
from serve.errors import ExportError
from serve.export.fp8 import LARGEST
from serve.export.modelopt_layout import NAME, SCALES, for_config
from serve.export.source import Source

AWQ = "W4A16_AWQ"
# In AWQ's folders these norms are multiplied by the factors of the layers behind them.
NORMS = dict.fromkeys(("q_proj", "k_proj", "v_proj"), "input_layernorm") | dict.fromkeys(
    ("gate_proj", "up_proj"), "post_attention_layernorm"
)


class Quantised:
    """The folder as its consumers compute with it. Raises ExportError where what it says of itself does not agree."""

    def __init__(self, folder: str, source: Source):
        self.config: dict[str, Any] = storage.read_json(storage.join(folder, "config.json"))
        told = storage.read_json(storage.join(folder, NAME))
        if self.config.get("quantization_config") != for_config(told):
            raise ExportError(f"quantization_config of config.json does not say what {NAME} says")
        self.algorithm = str(told["quantization"]["quant_algo"])
        self._excluded = set(told["quantization"]["exclude_modules"])
        try:
            self._tensors = TensorFolder(folder)
        except WeightsError as error:
            raise ExportError(f"what was written would not load: {error}") from None
        self.shapes = {name: s for name, s in self._tensors.shapes.items() if name.rpartition(".")[2] not in SCALES}
        lows, highs = [], []
        for name in list(self.shapes):
            if self._tensors.dtypes[name] == "uint8":
                self.shapes[name] = (2 * self.shapes[name][0], self.shapes[name][1])
            scale = self.beside(name.removesuffix(".weight"), "weight_scale")
            if (scale is None) == (self._tensors.dtypes[name] in ("uint8", "int8", "float8_e4m3fn")):
                having = "without" if scale is None else "with"
                raise ExportError(f"what was written has {name} in {self._tensors.dtypes[name]} {having} a scale")
            if scale is not None:
                lows.append(float(scale.min()))
                highs.append(float(scale.max()))
        self.scales = min(lows), max(highs)
        if not 0 < self.scales[0] <= self.scales[1] < float("inf"):
            raise ExportError(
                f"what was written has scales from {self.scales[0]:g} to {self.scales[1]:g}: they must be positive"
            )

    def beside(self, layer: str, ending: str) -> Any:
        """Return what belongs to a layer's weight, whole, or None."""
        name = f"{layer}.{ending}"
        shape = self._tensors.shapes.get(name)
        return None if shape is None else self._tensors.part(name, *[(0, size) for size in shape])

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor, multiplied by its scales where it is quantised."""
        bounds = bounds or tuple((0, size) for size in self.shapes[name])
        scale = self.beside(name.removesuffix(".weight"), "weight_scale")
        if scale is None:
            return self._tensors.part(name, *bounds)
        first, last = bounds[0]
        if self._tensors.dtypes[name] == "uint8":
            numbers = unpacked(self._tensors.part(name, (first // 2, (last + 1) // 2), (0, self.shapes[name][1])))
            numbers = numbers[first - first // 2 * 2 :][: last - first]
            spread = scale[first:last].repeat_interleave(numbers.shape[1] // scale.shape[1], 1)
            return (numbers * spread)[:, slice(*bounds[1])]
        numbers = self._tensors.part(name, *bounds).float()
        return numbers * (scale[first:last, None] if scale.dim() == 1 else scale)

    def inputs(self, layer: str) -> Callable[[Any], Any] | None:
        """Return what an engine does to a layer's input before it multiplies; None: nothing."""
        import torch

        if layer.endswith(".mlp.experts"):  # transformers' module of all experts of a layer
            layer = layer.replace(".mlp.experts", ".block_sparse_moe.experts.0.w1")
        scale, factor = self.beside(layer, "input_scale"), self.beside(layer, "pre_quant_scale")
        if self.beside(layer, "weight_scale") is not None and layer in self._excluded:
            raise ExportError(f"what was written has {layer} quantised, which {NAME} excludes")
        if scale is None and factor is None:
            return None

        def rounded(x: Any) -> Any:
            x = x if factor is None else x * factor.to(x.dtype)
            if scale is None:
                return x
            if self.algorithm == "FP8":
                return (x / scale).clamp(-LARGEST, LARGEST).to(torch.float8_e4m3fn).to(x.dtype) * scale
            return (x / scale).round().clamp(-128, 127) * scale

        return rounded


class Unfolded:
    """The same folder with factors taken out of weights and norms again: numbers as the source has them."""

    def __init__(self, written: Quantised, source: Source):
        self._written, self._source = written, source
        self.config, self.shapes, self.scales, self.inputs = (
            written.config,
            written.shapes,
            written.scales,
            written.inputs,
        )

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor; of a norm with factors in it the source's: the layers behind it tell of them."""
        part = self._written.part(name, *bounds)
        if self._written.algorithm == AWQ and name.endswith("layernorm.weight"):
            return self._source.part(name, *bounds)
        factor = self._factor(name.removesuffix(".weight"))
        if not name.endswith(".weight") or factor is None:
            return part
        return part * (factor[slice(*bounds[1])] if bounds else factor)

    def _factor(self, layer: str) -> Any:
        """Return by what a layer's input is multiplied, (in,) float32: beside it, or in the norm before it."""
        import torch

        if (beside := self._written.beside(layer, "pre_quant_scale")) is not None:
            return beside.float()
        norm = NORMS.get(layer.rpartition(".")[2]) if self._written.algorithm == AWQ else None
        if norm is None:
            return None
        name = f"{'.'.join(layer.split('.')[:3])}.{norm}.weight"
        ours, theirs = self._written.part(name).float(), self._source.part(name).float()
        return torch.where(theirs == 0, 1.0, ours / theirs)


def unpacked(packed: Any) -> Any:
    """Return INT4 numbers, float32 (out, in), of bytes (out / 2, in): the low half is the even row."""
    import torch

    rows = torch.stack((packed & 0xF, packed >> 4), 1).reshape(-1, packed.shape[1]).to(torch.int16)
    return torch.where(rows > 7, rows - 16, rows).float()
