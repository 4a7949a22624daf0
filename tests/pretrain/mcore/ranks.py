"""Real ranks for tests: `run(2, "module:function", arguments)` calls it in two processes joined by gloo.

Every case a process runs costs it seconds less than a new process does, so functions take lists of cases.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


def run(ranks: int, function: str, *arguments: Any, timeout: float = 240) -> list[Any]:
    """Return what `function(*arguments)` returned on each rank; a rank that fails shows its output."""
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder, "store"))
        processes = []
        for rank in range(ranks):
            environment = {
                **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks),
                "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "TORCH_CPP_LOG_LEVEL": "ERROR",
                "MILLRACE_TEST_STORE": store,
            }  # fmt: skip
            command = [
                sys.executable,
                "-m",
                __spec__.name,
                function,
                json.dumps(arguments),
                str(Path(folder, f"{rank}")),
            ]
            with Path(folder, f"log-{rank}").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                    )
                )
        try:
            codes = [process.wait(timeout) for process in processes]
        except subprocess.TimeoutExpired:
            codes = [None] * ranks
        finally:
            for process in processes:
                process.kill()
        said = "\n".join(f"--- rank {r}\n" + Path(folder, f"log-{r}").read_text()[-4000:] for r in range(ranks))
        assert codes == [0] * ranks, f"exit codes {codes}\n{said}"
        return [json.loads(Path(folder, f"{rank}").read_text()) for rank in range(ranks)]


def main(function: str, arguments: str, answer: str) -> None:
    import torch

    torch.set_num_threads(1)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    store = torch.distributed.FileStore(os.environ["MILLRACE_TEST_STORE"], size)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size)
    module, _, name = function.partition(":")
    result = getattr(importlib.import_module(module), name)(*json.loads(arguments))
    Path(answer).write_text(json.dumps(result))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
