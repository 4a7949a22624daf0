"""A rank that trains one number with real collectives, and fails as FOLDER/fault.json says.

python -m tests.pretrain.run.loop FOLDER
"""

import ctypes
import json
import os
import signal
import subprocess
import time
from threading import Thread

from millrace import storage
from pretrain.config import Config
from pretrain.errors import ShardError
from pretrain.run.worker import Job, main

STEPS = 8


def train(config, folder, life):
    import torch
    import torch.distributed as dist

    fault = storage.read_json(f"{folder}/fault.json")
    # as a checkpoint's writer would, it outlives a rank that is killed
    subprocess.Popen(["sleep", "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    saved = f"{folder}/saved.json"
    state = storage.read_json(saved) if storage.exists(saved) else {"step": 0, "value": 0.0}
    dist.barrier()
    value = torch.tensor(state["value"], dtype=torch.float64)
    for step in range(state["step"] + 1, fault.get("steps", STEPS) + 1):
        if life.stop.agreed(step):
            break
        life.marks.mark(step, "data")
        strike(fault, life, step, "data")
        share = torch.sin(value + life.place.rank + step)
        life.marks.mark(step, "forward_backward")
        strike(fault, life, step, "forward_backward")
        dist.all_reduce(share)
        value += share
        state = {"step": step, "value": float(value)}
        if life.place.rank == 0:
            with storage.appending(f"{folder}/log.jsonl") as log:
                log.write(json.dumps(state).encode() + b"\n")
            storage.write_json(saved, state)
        slow = life.stragglers.window(life.marks.take_own_seconds(), 1)
        print(*map(str, slow), sep="\n", end="", flush=True)
    print(f"rank {life.place.rank} ends after step {state['step']}", flush=True)


def strike(fault, life, step, phase):
    here = (life.place.rank, step, phase) == (fault.get("rank"), fault.get("step"), fault.get("phase"))
    every = fault["what"] == "slow" and (life.place.rank, phase) == (fault["rank"], fault["phase"])
    if (here and life.place.restarts < fault.get("attempts", 1)) or every:
        FAULTS[fault["what"]](life)


def endless_loop(life):
    while True:
        pass


def sleeping_loader(life):
    time.sleep(1000)


def hold_the_lock(life):
    ctypes.PyDLL(None).sleep(1000)  # C code that does not give Python's lock back


def calling(store):
    while True:
        store.check(["of no rank"])


def mistake(life):
    raise ShardError("the shards are of another\nvocabulary")


def broken(life):
    raise ValueError("a fault of the code")


FAULTS = {
    "kill": lambda life: os.kill(os.getpid(), signal.SIGKILL),
    "freeze": lambda life: os.kill(os.getpid(), signal.SIGSTOP),
    "exit": lambda life: os._exit(3),
    "endless_loop": endless_loop,
    "sleeping_loader": sleeping_loader,
    "hold_the_lock": hold_the_lock,
    "mistake": mistake,
    "broken": broken,
    "threads": lambda life: [Thread(target=calling, args=(life.store,), daemon=True).start() for _ in range(4)],
    "slow": lambda life: time.sleep(0.1),
    "pace": lambda life: time.sleep(0.05),
}

if __name__ == "__main__":
    main(Job(Config, train))
