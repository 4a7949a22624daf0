"""One export of ours in a fresh process: python -m benchmarks.ours_export MODEL FORMAT OUTPUT [test]

Prints JSON: seconds and CPU seconds of the conversion (reading, converting, writing, onto the disk), of the test where
asked for, and memory before the conversion and at its peak, in bytes.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHARD_BYTES = 600_000_000
SETTINGS = {"trtllm": ["tp=2", "pp=2"]}  # four ranks' files, each about as large as a shard of the others


def main(model: str, name: str, output: str, tested: bool) -> dict[str, Any]:
    import torch

    from serve.export.formats import format_named
    from serve.export.fp8 import quantise_rows
    from serve.export.opening import open_source

    shutil.rmtree(output, ignore_errors=True)
    Path(output).mkdir()
    source, target = open_source(model), format_named(name, SETTINGS.get(name, [f"shard_bytes={SHARD_BYTES}"]))
    quantise_rows(torch.ones(1, 1, dtype=torch.bfloat16))  # what a first use loads is no conversion
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    found = {f"conversion_{what}": value for what, value in _timed(lambda: target.write(source, output)).items()}
    found |= {"before": before, "peak": _status("VmHWM"), "bytes": _size(output)}
    if tested:
        Path("/proc/self/clear_refs").write_text("5")
        found |= {f"test_{what}": value for what, value in _timed(lambda: target.test(source, output)).items()}
        found["test_peak"] = _status("VmHWM")
    shutil.rmtree(output)
    return found


def _timed(work: Callable[[], Any]) -> dict[str, Any]:
    cpu, wall = time.process_time(), time.perf_counter()
    said = work()
    cost = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    cosine = getattr(said, "cosine", None)
    return cost if cosine is None else cost | {"cosine": cosine}


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _size(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).iterdir())


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], sys.argv[3], len(sys.argv) > 4)))
