"""What converting a model of 1.1 billion parameters costs, beside copying its bytes on the same disk.

python -m benchmarks.export_speed

cp and every format in turn, each in a fresh process, the source in the page cache (it is read once before). An export
ends with its files on the disk (fsync), so copying is measured that way too: cp, then sync of the copied files.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.export_model import make, tenth
from benchmarks.measure import ROOT
from benchmarks.ours_export import SHARD_BYTES
from benchmarks.report import ratio, setting, spread, table, write_result

FORMATS = ("hf", "fp8-dynamic", "trtllm")
LARGEST = 32_000 * 2048 * 2  # bytes of the largest tensor, the embedding


def main() -> None:
    more = {"formats": {"nargs": "+", "default": list(FORMATS), "metavar": "FORMAT"}}
    with setting(__doc__.splitlines()[0], with_peers=False, **more) as given:
        model = given.made("export-1b", lambda folder: make(folder, *([tenth()] if given.quick else [])))
        files = sorted(model.glob("*.safetensors"))
        for file in files:
            file.read_bytes()
        copies: list[dict[str, float]] = []
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in given.given.formats}
        for _ in range(given.rounds):
            copies.append(_copied(model, given.work / "copy"))
            for name in found:
                found[name].append(_exported(model, name, given.work / "out"))
        for name, seen in found.items():
            seen[0] |= {k: v for k, v in _exported(model, name, given.work / "out", True).items() if "test" in k}
        size = sum(file.stat().st_size for file in files)
        body = (
            f"A Llama of 1.1 billion random weights in bfloat16, {size:,} bytes in {len(files)} files, in the page "
            f"cache; {given.rounds} rounds, sides in turn, each in a fresh process, on one thread. Conversion is what "
            "`write` of a format takes: opening, importing and the test are not in it, getting everything onto the "
            "disk (fsync) is; trtllm is written for tensor 2 x pipeline 2. Less than 3 times cp is wanted.\n\n"
            + _speed(copies, found)
            + "\n\nMemory of the conversion, in MB: wanted is at most the process's own before it, one output shard "
            f"(at most {SHARD_BYTES / 1e6:,.0f}) and the largest tensor ({LARGEST / 1e6:,.0f}).\n\n"
            + _memory(found)
            + "\n\nThe self-test, once each: every tensor compared, and logits of both models on 64 tokens, in "
            "float32, a layer at a time.\n\n" + _tests(found)
        )
        write_result("export_speed", "Exporting beside copying", given, ["torch", "safetensors", "transformers"], body)


def _copied(model: Path, place: Path) -> dict[str, float]:
    """Copy the folder; return seconds of cp, and of cp with its files synced."""
    shutil.rmtree(place, ignore_errors=True)
    began, cpu = time.perf_counter(), _children()
    subprocess.run(["cp", "-r", model, place], check=True)
    copied, used = time.perf_counter(), _children()
    subprocess.run(["sync", *place.iterdir()], check=True)
    ended, all_used = time.perf_counter(), _children()
    shutil.rmtree(place)
    return {"wall": copied - began, "cpu": used - cpu, "synced": ended - began, "synced_cpu": all_used - cpu}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _exported(model: Path, name: str, place: Path, tested: bool = False) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.ours_export", str(model), name, str(place), *(["test"] * tested)]
    said = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, check=True
    )
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def _speed(copies: list[dict[str, float]], found: dict[str, list[dict[str, Any]]]) -> str:
    rows = [
        ["cp", spread(c["wall"] for c in copies), "", "", spread(c["cpu"] for c in copies), ""],
        ["cp, synced", spread(c["synced"] for c in copies), "", "", spread(c["synced_cpu"] for c in copies), ""],
    ]
    for name, seen in found.items():
        walls, cpus = ([one[f"conversion_{what}"] for one in seen] for what in ("wall", "cpu"))
        rows.append(
            [
                name, spread(walls), ratio(walls, [c["wall"] for c in copies]),
                ratio(walls, [c["synced"] for c in copies]), spread(cpus), ratio(cpus, [c["cpu"] for c in copies]),
            ]
        )  # fmt: skip
    return table(["", "seconds", "times cp", "times cp, synced", "CPU s", "CPU, times cp"], rows)


def _memory(found: dict[str, list[dict[str, Any]]]) -> str:
    rows = []
    for name, seen in found.items():
        before, peak = max(one["before"] for one in seen), max(one["peak"] for one in seen)
        more = max(one["peak"] - one["before"] for one in seen)
        rows.append([name, f"{before / 1e6:,.0f}", f"{peak / 1e6:,.0f}", f"{more / 1e6:,.0f}", f"{seen[0]['bytes']:,}"])
    return table(["", "before", "peak (VmHWM)", "of the conversion", "bytes written"], rows)


def _tests(found: dict[str, list[dict[str, Any]]]) -> str:
    rows = [
        [name, f"{seen[0]['test_wall']:.1f}", f"{seen[0]['test_cpu']:.1f}", f"{seen[0]['test_peak'] / 1e6:,.0f}",
         f"{seen[0]['test_cosine']:.6f}"] for name, seen in found.items()
    ]  # fmt: skip
    return table(["", "seconds", "CPU s", "peak, MB", "cosine"], rows)


if __name__ == "__main__":
    main()
