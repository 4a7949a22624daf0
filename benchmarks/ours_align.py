"""Our side of benchmarks/align_speed.py: METHOD FOLDER. A method of `align.methods` at work on one rank, in process.

For each line {"steps": n} a run of n steps from the first weights; says its CPU seconds, without loading. What a run
does before its first step is timed where the others do it at each step (the reference of DPO), and not where they
have nothing like it (completions of watched prompts). No checkpoints, no log.
"""

from __future__ import annotations

import cProfile
import json
import os
import socket
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import align_inputs
from benchmarks.align_inputs import WANTED, Size


def settings(method: str, folder: Path, size: Size, steps: int) -> dict[str, Any]:
    """Return the configuration of a run."""
    data = {"sft": "sft", "dpo": "dpo"}.get(method, "prompts")
    own: dict[str, Any] = {
        "sft": {}, "dpo": {"beta": size.beta}, "grpo": {"group_size": size.group},
        "ppo": {"reward_model": str(folder / "reward"), "critic_lr": size.rate(method)},
    }[method]  # fmt: skip
    return {
        "method": method, method: own,
        "model": {"start_from": str(folder / "model"), "backend": "hf"},
        "data": {"path": str(folder / f"{data}.jsonl")},
        "training": {"steps": steps, "global_batch": size.batch(method)},
        "optimizer": {"lr": size.rate(method), "schedule": "constant"},
        "parallel": {"ranks": 1},
        "rollouts": {"max_tokens": size.new_tokens},
        "rewards": [{"pattern": {"tokens": list(WANTED)}}] if method == "grpo" else [],
    }  # fmt: skip


@contextmanager
def life(folder: str) -> Iterator[Any]:
    """Be the only rank of a job: store, watchdog and process group as in a real run."""
    from pretrain.config import Guard
    from pretrain.run.place import place, standard
    from pretrain.run.stop import Stop
    from pretrain.run.worker import joined

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    os.environ.update({"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port})
    os.environ.update(standard(os.environ))
    with Path(folder, "log").open("wb") as log, joined(Guard(), folder, place(os.environ), Stop(), log) as alive:
        yield alive


def write_order(method: str, folder: Path, size: Size) -> None:
    """Write METHOD.steps.json: for each step of the first round its examples, as tokens, in the order we take them."""
    from align.config import Config
    from align.run.data import RunData
    from align.run.start import open_chat
    from millrace.config import build

    config = build(Config, settings(method, folder, size, size.first_steps))
    data = RunData(config, open_chat(config)).train
    steps = []
    for number in range(size.first_steps):
        batch = data.batch(number)
        steps.append(
            [{"id": one.id, "tokens": one.tokens.tolist()} for one in batch]
            if method in ("grpo", "ppo") else
            [{"id": one.id, "sequences": [{"tokens": each.tokens.tolist(), "begin": int(each.mask.argmax())}
                                          for each in one.sequences]} for one in batch]
        )  # fmt: skip
    (folder / f"{method}.steps.json").write_text(json.dumps(steps))


def open_run(method: str, folder: Path, size: Size, steps: int, alive: Any, passing: str) -> Any:
    """Return the method, its models loaded and its data tokenised."""
    from dataclasses import replace

    import torch.distributed as dist

    from align.config import Config
    from align.methods import open_method
    from align.rollout.placement import placed
    from align.run.data import RunData
    from align.run.job import Job
    from align.run.start import open_chat
    from millrace.config import build
    from pretrain.run.watch import Record

    config = build(Config, settings(method, folder, size, steps))
    chat, run = open_chat(config), tempfile.mkdtemp(dir=passing)
    alive = replace(alive, store=dist.PrefixStore(run, alive.store))  # every run has queues of its own
    groups = placed(config.placement, alive.place, config.rollouts.asynchronous)
    return open_method(Job(config, run, alive, chat, RunData(config, chat), groups, Record()))


def one_run(method: str, work: Any, steps: int) -> dict[str, Any]:
    """Take the steps of a run; return CPU seconds, tokens, losses, and rewards where there are some."""
    told: dict[str, list[float]] = {"losses": [], "rewards": []}
    parts = phases(work)
    if method != "dpo":
        work.begin(0)
        parts.clear()
    generated = 0
    began = time.process_time()
    if method == "dpo":
        work.begin(0)
    for number in range(1, steps + 1):
        came = work.step(number)
        told["losses"].append(came.metrics["loss"])
        told["rewards"] += [came.metrics["reward"]] if "reward" in came.metrics else []
        generated += came.tokens
    cpu = time.process_time() - began
    given = 0 if generated and method in ("grpo", "ppo") else sum(
        one.length for number in range(1, steps + 1) for one in work.batch(number)
    )  # fmt: skip
    return {"cpu": cpu, "tokens": given or generated, "phases": dict(parts), **told}


def phases(work: Any) -> Counter[str]:
    """Have the parts of an online method counted by CPU seconds from now on."""
    spent: Counter[str] = Counter()

    def timed(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            began = time.process_time()
            try:
                return call(*given, **named)
            finally:
                spent[name] += time.process_time() - began

        return counted

    def watch(name: str, owner: Any, *calls: str) -> None:
        for call in calls:
            setattr(owner, call, timed(name, getattr(owner, call)))

    if hasattr(work, "rollouts"):
        watch("generate", work.rollouts._generator, "generate")
        watch("reward", work.rollouts, "_rewarded")
        watch("train the actor", work.actor, "train_step")
    if getattr(work, "reference", None):
        watch("reference", work.reference, "annotated")
    if hasattr(work, "critic"):
        watch("values", work.critic, "values")
        watch("train the critic", work.critic, "train_step")
    return spent


def serve(method: str, folder: Path, profile: str = "") -> None:
    """Run once for every line that comes in, and say what it took. profile: a file for what cProfile sees."""
    import torch

    torch.set_num_threads(1)
    size = align_inputs.read(folder)
    with tempfile.TemporaryDirectory() as passing, life(passing) as alive:
        for line in sys.stdin:
            steps = json.loads(line)["steps"]
            work = open_run(method, folder, size, steps, alive, passing)
            if profile:
                watching = cProfile.Profile(time.process_time)
                answer = watching.runcall(one_run, method, work, steps)
                watching.dump_stats(profile)
            else:
                answer = one_run(method, work, steps)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
