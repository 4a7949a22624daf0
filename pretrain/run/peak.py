"""The peak FLOP/s of one device, the whole of which MFU is a share.

By name for known GPUs: dense, without sparsity, from the makers' data sheets. Any other device is measured by
matrix products, and the MFU is then one of the measured matrix peak.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["fp32", "bf16", "fp8"]

BUDGET_SECONDS = 1.0  # of all timed products
REPEATS = 5
SMALLEST, LARGEST = 256, 8192  # rows of the square matrices


@dataclass(frozen=True)
class Peak:
    """FLOP/s of one device; None where neither known nor measurable. `source`: whose it is, or why none is known."""

    flops: float | None
    source: str


@dataclass(frozen=True)
class Sheet:
    """A data sheet's dense TFLOP/s. `words`: all stand in the device's name."""

    words: tuple[str, ...]
    bf16: float
    fp8: float | None
    tf32: float
    fp32: float
    source: str


# The first that fits holds: variants stand before the plain name. Sheets that give sparse figures alone are halved.
SHEETS = (
    Sheet(("GH200",), 989.5, 1979, 494.5, 67, "NVIDIA GH200 data sheet"),
    Sheet(("H200", "NVL"), 835.5, 1670.5, 417.5, 60, "NVIDIA H200 NVL data sheet"),
    Sheet(("H200",), 989.5, 1979, 494.5, 67, "NVIDIA H200 SXM data sheet"),
    Sheet(("H100", "NVL"), 835.5, 1670.5, 417.5, 60, "NVIDIA H100 NVL data sheet"),
    Sheet(("H100", "PCIe"), 756, 1513, 378, 51.2, "NVIDIA H100 white paper, PCIe"),
    Sheet(("H100",), 989.4, 1978.9, 494.7, 66.9, "NVIDIA H100 white paper, SXM5"),
    Sheet(("B200",), 2250, 4500, 1125, 75, "NVIDIA HGX B200 data sheet"),
    Sheet(("A100",), 312, None, 156, 19.5, "NVIDIA A100 data sheet"),
    Sheet(("L40S",), 362, 733, 183, 91.6, "NVIDIA L40S data sheet"),
    Sheet(("RTX 4090",), 165.2, 330.3, 82.6, 82.6, "NVIDIA Ada white paper, sums in fp32"),
    Sheet(("MI300X",), 1307.4, 2614.9, 653.7, 163.4, "AMD Instinct MI300X data sheet"),
    Sheet(("MI325X",), 1307.4, 2614.9, 653.7, 163.4, "AMD Instinct MI325X data sheet"),
)


def peak(precision: Precision, device: str, given_tflops: float | None = None) -> Peak:
    """Return the peak of this process's device, "cpu" or "cuda", in a precision.

    given_tflops: what the configuration says (watch.peak_tflops), which holds before all else. On a CPU it takes
    a second at most, with the threads this process has; ranks that share cores share that peak.
    """
    if given_tflops is not None:
        return Peak(given_tflops * 1e12, f"the {given_tflops:g} TFLOP/s of watch.peak_tflops")
    import torch

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    tf32 = torch.get_float32_matmul_precision() != "highest"
    return known(name, precision, tf32) or measured(precision, device, name)


def known(name: str, precision: Precision, tf32: bool) -> Peak | None:
    """Return the peak of a GPU by its name, None where no sheet is known. tf32: fp32 products run on TF32 units."""
    sheet = next((sheet for sheet in SHEETS if all(word in name for word in sheet.words)), None)
    if sheet is None:
        return None
    units = "tf32" if precision == "fp32" and tf32 else precision
    tflops = getattr(sheet, units)
    if tflops is None:
        return Peak(None, f"no peak: {name} has no {precision} units")
    return Peak(tflops * 1e12, f"{tflops:g} TFLOP/s, dense {units} ({sheet.source})")


def measured(precision: Precision, device: str, name: str) -> Peak:
    """Return the FLOP/s of the fastest of a few square matrix products: other work on the machine only slows them."""
    if precision == "fp8":
        return Peak(None, f"no peak: fp8 products of {name} are not measured; set watch.peak_tflops")
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    rows, flops, began = SMALLEST, 0.0, time.perf_counter()
    _product_seconds(rows, dtype, device)  # the first one sets up threads and kernels
    while rows <= LARGEST:
        seconds = min(_product_seconds(rows, dtype, device) for _ in range(REPEATS))
        flops = max(flops, 2 * rows**3 / seconds)
        if time.perf_counter() - began + 8 * REPEATS * seconds > BUDGET_SECONDS:
            break
        rows *= 2
    threads = f", {torch.get_num_threads()} threads" if device == "cpu" else ""
    return Peak(flops, f"measured matrix peak, {flops / 1e12:.3g} TFLOP/s in {precision} ({name}{threads})")


def _product_seconds(rows: int, dtype: Any, device: str) -> float:
    import torch

    with torch.no_grad():
        left = torch.full((rows, rows), 0.5, dtype=dtype, device=device)
        if device == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        left @ left
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began
