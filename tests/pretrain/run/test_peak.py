"""The peak that MFU is a share of."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pretrain.run.peak import SHEETS, known, peak

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("name", "bf16"),
    [  # names as torch.cuda.get_device_name gives them, figures of the data sheets
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.5),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA GH200 480GB", 989.5),
        ("NVIDIA B200", 2250),
        ("NVIDIA L40S", 362),
        ("AMD Instinct MI300X", 1307.4),
    ],
)
def test_devices_are_known_by_name(name, bf16):
    found = known(name, "bf16", tf32=False)
    assert found is not None
    assert found.flops == bf16 * 1e12
    assert "dense bf16" in found.source


def test_fp32_is_tf32_where_products_run_on_it():
    for tf32, tflops in ((False, 66.9), (True, 494.7)):
        found = known("NVIDIA H100 80GB HBM3", "fp32", tf32)
        assert found is not None
        assert found.flops == pytest.approx(tflops * 1e12)


def test_every_sheet_is_found_before_any_other_and_halves_its_rates():
    for sheet in SHEETS:
        name = " ".join(("Maker", *sheet.words))
        found = known(name, "bf16", False)
        assert found is not None, name
        assert found.source.endswith(f"({sheet.source})"), name
        assert sheet.bf16 / sheet.tf32 == pytest.approx(2, rel=0.02)
        assert sheet.fp8 is None or sheet.fp8 / sheet.bf16 == pytest.approx(2, rel=0.02)


def test_what_has_no_fp8_units_has_no_peak_in_it():
    found = known("NVIDIA A100-SXM4-80GB", "fp8", False)
    assert found is not None
    assert found.flops is None
    assert found.source == "no peak: NVIDIA A100-SXM4-80GB has no fp8 units"
    assert known("Unheard-of 9000", "bf16", False) is None


def test_the_configuration_holds_before_all_else():
    assert peak("bf16", "cuda", 790).flops == 790e12


MEASURED = """
import json, sys, time, torch
from pretrain.run.peak import peak
torch.set_num_threads(1)
began = time.process_time()
found = peak("fp32", "cpu")
took = time.process_time() - began
a = torch.rand(1024, 1024)
a @ a
def rate():
    began = time.perf_counter()
    a @ a
    return 2 * 1024**3 / (time.perf_counter() - began)
fastest = max(rate() for _ in "12345")
print(json.dumps([found.flops, found.source, took, fastest, peak("fp8", "cpu").source]))
"""


def test_a_cpu_is_measured_and_fp8_of_it_is_not():
    pytest.importorskip("torch")
    out = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    flops, source, took, rate, fp8 = json.loads(out)
    assert rate / 4 < flops < 4 * rate  # others share this machine's cores
    assert source.startswith("measured matrix peak")
    assert "fp32 (CPU, 1 threads)" in source
    assert took < 3.0  # CPU seconds
    assert "set watch.peak_tflops" in fp8
