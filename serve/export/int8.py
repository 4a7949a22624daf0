"""W8A8 by SmoothQuant (arXiv:2211.10438) in modelopt's layout: INT8 weights, a scale an output; INT8 inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from serve.export import modelopt
from serve.export.calibrated import Calibrated
from serve.export.source import Source


@dataclass(frozen=True)
class Int8(Calibrated):
    """Linear layers' weights and inputs in INT8, by nvidia-modelopt 0.47 (recipe INT8_SMOOTHQUANT_CFG).

    Inputs are smoothed by what `calibrate` shows; those of experts are not.
    """

    name: ClassVar[str] = "int8"
    readers: ClassVar[str] = (
        "nvidia's table of what reads this layout has FP8 and INT4 AWQ, not INT8: ask your engine first"
    )
    most: ClassVar[float] = 0.1  # normally distributed numbers err by 0.01; smoothing for outliers costs more

    def refuse(self, source: Source) -> None:
        """Raise where the layout cannot hold the model, or there is no text or no modelopt."""
        super().refuse(source)
        modelopt.require(self.name)

    def companions(self, source: Source, layer: str, shape: tuple[int, ...]) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return numbers, their scales, the inputs' scale, and by what inputs are multiplied before it."""
        rows, columns = shape
        made: dict[str, tuple[tuple[int, ...], str]] = {
            "weight": (shape, "int8"), "weight_scale": ((rows,), "float32"), "input_scale": ((), "float32"),
        }  # fmt: skip
        if ".experts." not in layer:
            made["pre_quant_scale"] = ((columns,), self.kept(source))
        return made

    def write(self, source: Source, folder: str) -> float:
        """Smooth by what the text shows and write. Memory: the model in `dtype`, more than twice."""
        return modelopt.write(self, source, folder, "INT8_SMOOTHQUANT_CFG")
