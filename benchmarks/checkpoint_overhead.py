"""What a checkpoint costs training on the CPU, in the background and not, at one a minute.

python -m benchmarks.checkpoint_overhead

One process trains windows of steps in turn: without a save, with one in the background, with one that training
waits for. A save's cost is what its window took more than the one without, and the time the call itself took.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT
from benchmarks.report import setting, spread, table, write_result
from benchmarks.train_step import SHAPE, VOCABULARY, engine_step, make_engine, rows

STEPS = 3  # a window
MINUTE = 60.0
MODES = {"none": "no save", "background": "in the background", "waiting": "training waits"}


def main() -> None:
    with setting(__doc__.splitlines()[0], with_peers=False) as given:
        rounds = 1 if given.quick else given.rounds
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-m", "benchmarks.checkpoint_overhead", str(rounds)]
        said = subprocess.run(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        found = json.loads(said.stdout)
        lines = []
        for mode, label in MODES.items():
            seen = found["windows"][mode]
            blocked = [window["blocked"] for window in seen]
            more = [a["wall"] - b["wall"] for a, b in zip(seen, found["windows"]["none"])]
            cost = [a["cpu"] - b["cpu"] for a, b in zip(seen, found["windows"]["none"])]
            saves = mode != "none"
            lines.append(
                [
                    label,
                    spread(window["wall"] for window in seen),
                    spread((1e3 * b for b in blocked), 0) if saves else "",
                    spread((100 * b / MINUTE for b in blocked), 3) if saves else "",
                    spread((100 * m / MINUTE for m in more), 2) if saves else "",
                    spread(cost) if saves else "",
                ]
            )
        body = (
            f"{SHAPE}, vocabulary {VOCABULARY}, {found['parameters'] / 1e6:.2f} M parameters, fp32, one rank, one "
            f"thread beside the one that writes; a checkpoint is {found['bytes'] / 1e6:.0f} MB. A window is {STEPS} "
            f"steps, modes in turn, {rounds} rounds after one to warm up. Less than 2 % of the time at one save a "
            "minute is wanted.\n\n"
            + table(
                ["", "window, s", "blocked, ms a save", "blocked, % of a minute", "window slower by, % of a minute",
                 "CPU s a save"], lines
            )
            + f"\n\nThe first save of the run blocked {1e3 * found['first']:.0f} ms, and making the saver took "
            f"{1e3 * found['made']:.0f} ms, once. Reading all files of a checkpoint and hashing them, as every resume "
            f"does: {1e3 * found['hashed']:.0f} ms, {found['bytes'] / found['hashed'] / 1e9:.1f} GB/s, from the page "
            f"cache; loading it: {1e3 * found['loaded']:.0f} ms."
        )  # fmt: skip
        libraries = ["torch", "megatron-core", "xxhash"]
        write_result("checkpoint_overhead", "What a checkpoint costs training", given, libraries, body)


def measure(rounds: int) -> dict[str, Any]:
    """Train the windows of all rounds; return what each took, and what is paid once."""
    from pretrain.mcore.checkpoint import Saver, load
    from pretrain.run.checkpoints import About, Folder, damage

    engine = make_engine()
    step = engine_step(engine)
    number = 0

    def window(saver: Any) -> dict[str, float]:
        nonlocal number
        began, cpu = time.perf_counter(), time.process_time()
        state = {"step": number, "rows": 0, "tokens": 0}
        pending = saver.save(state) if saver else None
        for _ in range(STEPS):
            step(rows(number))
            number += 1
        wall = time.perf_counter() - began
        saved = pending.wait() if pending else None
        assert not (saved and saved.error), saved
        cost = time.process_time() - cpu
        return {"wall": wall, "cpu": cost, "blocked": saved.blocked if saved else 0.0}

    with tempfile.TemporaryDirectory(prefix="millrace-bench-", dir=ROOT) as place:
        folder = Folder(Path(place, "checkpoints"))
        about = About.of(engine.settings, "", {}, {})
        began = time.perf_counter()
        savers = {"none": None, "background": Saver(engine, folder, about)}
        made = time.perf_counter() - began
        savers["waiting"] = Saver(engine, folder, about, asynchronous=False)
        windows: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
        for _ in range(rounds + 1):
            for mode, saver in savers.items():
                windows[mode].append(window(saver))
        first = windows["background"][0]["blocked"]
        path = folder.latest(lambda _: [])[0]
        times = []
        for work in (lambda: damage(path), lambda: load(engine, path)):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
        size = sum(each.stat().st_size for each in path.iterdir())
    parameters = sum(p.numel() for chunk in engine.models for p in chunk.parameters())
    return {
        "windows": {mode: seen[1:] for mode, seen in windows.items()}, "first": first, "made": made, "bytes": size,
        "parameters": parameters, "hashed": times[0], "loaded": times[1],
    }  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].isdigit():
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        main()
