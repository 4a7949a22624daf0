"""INT4 weights by AWQ (arXiv:2306.00978) in modelopt's layout: groups of inputs share a scale, activations stay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from serve.errors import ExportError, ServeSettingsError
from serve.export import modelopt, modelopt_layout
from serve.export.calibrated import Calibrated
from serve.export.source import Source


@dataclass(frozen=True)
class Awq(Calibrated):
    """Linear layers' weights in INT4, by nvidia-modelopt 0.47 (recipe INT4_AWQ_CFG), searched on `calibrate`."""

    name: ClassVar[str] = "awq"
    readers: ClassVar[str] = "load it with TensorRT-LLM"
    most: ClassVar[float] = 0.3  # normally distributed numbers err by 0.12 in groups of 128
    samples: int = 128  # texts; its search needs few
    min_cosine: float = 0.8  # of logits to the source's
    group: Literal[64, 128] = 128  # or 64: inputs that share a scale; what TensorRT-LLM has kernels for

    def refuse(self, source: Source) -> None:
        """Raise where the layout, or modelopt with transformers 5, cannot hold the model, or there is no text."""
        if source.model.experts:
            raise ExportError(
                f"{source.name} has experts, which modelopt {modelopt_layout.VERSION} cannot write in INT4 under "
                "transformers 5; fp8 and int8 take it"
            )
        super().refuse(source)
        for layer in modelopt_layout.quantised(source):
            rows, columns = source.shapes[f"{layer}.weight"]
            if columns % self.group or rows % 2:
                raise ServeSettingsError(
                    f"group is {self.group}, but {layer}.weight is {rows} x {columns}: a layer's inputs must be a "
                    "multiple of group (64 or 128), and its outputs even"
                )
        modelopt.require(self.name)

    def companions(self, source: Source, layer: str, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return packed numbers and scales; factors of inputs too where no norm stands before the layer."""
        rows, columns = shape
        made: dict[str, tuple[tuple[int, ...], str]] = {
            "weight": ((rows // 2, columns), "uint8"), "weight_scale": ((rows, columns // self.group), "float32"),
        }  # fmt: skip
        if layer.endswith(("o_proj", "down_proj")):
            made["pre_quant_scale"] = ((columns,), self.kept(source))
        return made

    def write(self, source: Source, folder: str) -> float:
        """Search scales on the text and write. Memory: the model in `dtype`, more than twice."""
        return modelopt.write(self, source, folder, "INT4_AWQ_CFG", self.group)
