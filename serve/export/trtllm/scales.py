"""FP8 scales of weights, activations and the KV cache: one number a layer, the same in every rank.

A value is what is stored times its scale. `weights_scaling_factor` is the largest weight / 448, over all that one
layer of TensorRT-LLM holds, and over layers that may be fused: q, k and v; gate and up; an expert's own.
`activation_scaling_factor` is the largest input / 448; a layer of experts has one for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pretrain.hf.rows import Tensors
from serve.errors import ExportError
from serve.export.calibration import Amax
from serve.export.trtllm.ranks import Entry

LARGEST = 448.0  # of float8_e4m3fn
WEIGHTS, INPUTS, CACHE = "weights_scaling_factor", "activation_scaling_factor", "kv_cache_scaling_factor"


@dataclass
class Scales:
    """The scales of the layers of one model. `largest` is filled by reading each weight once."""

    tensors: Tensors
    seen: Amax
    largest: dict[str, float] = field(default_factory=dict)  # by Hugging Face name

    def weights(self, entry: Entry) -> Any:
        """Return the scale of each matrix, float32 (1,), or (experts, 1) of a layer of experts."""
        import torch

        made = torch.tensor([[self._largest(sources)] for sources in entry.sources], dtype=torch.float32) / LARGEST
        made[made == 0] = 1.0  # weights that are all zero
        return made if entry.stacked else made[0]

    def inputs(self, entry: Entry) -> Any:
        """Return the scale of what the layer multiplies, float32 (1,). Raises ExportError where it was not seen."""
        import torch

        layers = [name.removesuffix(".weight") for sources in entry.sources for name in sources]
        largest = [self.seen.inputs[layer] for layer in layers if layer in self.seen.inputs]
        if not largest:
            raise ExportError(f"calibration saw no input of {layers[0]}; give it more text")
        return torch.tensor([max(largest)], dtype=torch.float32) / LARGEST

    def cache(self, layer: int) -> Any:
        """Return the scale of a layer's keys and values, float32 (1,).

        At least 1, as nvidia-modelopt has it: what is smaller than 448 needs no scale, and keeps its precision.
        """
        import torch

        largest = max(self.seen.keys.get(layer, 0.0), self.seen.values.get(layer, 0.0))
        return torch.tensor([max(largest / LARGEST, 1.0)], dtype=torch.float32)

    def _largest(self, names: Iterable[str]) -> float:
        for name in names:
            if name not in self.largest:
                self.largest[name] = float(self.tensors.part(name).abs().max())
        return max(self.largest[name] for name in names)


def quantised(entry: Entry, tensors: Tensors, scale: Any) -> Any:
    """Return a layer's weights as float8_e4m3fn, divided by their scale."""
    import torch

    made = [
        (entry.read(tensors, expert).float() / scale[expert]).to(torch.float8_e4m3fn)
        for expert in range(len(entry.matrices))
    ]
    return torch.stack(made) if entry.stacked else made[0]


def beside(name: str) -> Iterator[str]:
    """Yield the names of the scales of a layer, given that of its weight."""
    layer = name.removesuffix("weight")
    yield layer + WEIGHTS
    yield layer + INPUTS
