"""Train, save, load and train on, under any parallel sizes, and what may befall a save; imported by ranks."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from tests.pretrain.mcore import cases


def about(settings: Any) -> Any:
    from pretrain.run.checkpoints import About

    return About.of(settings, "tokenizer", {"shards": {"a": "1"}}, {"megatron-core": "0.16.1"})


def several(calls: list[tuple[str, list[Any]]]) -> list[Any]:
    """Call functions of this module, one after the other; return their answers."""
    return [globals()[name](*arguments) for name, arguments in calls]


def begin(settings: Any) -> None:
    """Form the parallel groups: the first of this process, or in place of those there are."""
    from megatron.core import parallel_state

    from pretrain.mcore import state

    (state.groups if parallel_state.is_initialized() else state.start)(settings)


def travel(stops: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make an engine a stop and train it through `steps`; return (loss, norm) a step, and what else was seen.

    A stop has a case of `cases.config`; `load`: a folder whose newest checkpoint it begins from; `save`: a folder
    that it saves to before step `at`, in the background. What is written is written once that step has changed
    the engine.
    """
    from pretrain.mcore import layout
    from pretrain.mcore.checkpoint import Saver, load, newest
    from pretrain.mcore.engine import Engine
    from pretrain.run.checkpoints import Folder

    answers = []
    for stop in stops:
        sections = stop.get("case", {})
        settings = cases.config(**{**sections, "training": {"global_batch": 4, **sections.get("training", {})}})
        begin(settings)
        engine, seen = Engine(settings), {}
        if "load" in stop:
            path, passed = newest(Folder(Path(stop["load"])))
            loop, seen["same_random"] = load(engine, path)
            seen |= {"loop": loop, "passed": passed}
        saver = Saver(engine, Folder(Path(stop["save"])), about(settings)) if "save" in stop else None
        trained = hold(saver) if saver else None
        seen["steps"], pending = [], None
        for step in range(*stop["steps"]):
            if saver and step == stop["at"]:
                pending = saver.save({"step": step, "rows": step * 4, "tokens": step * 128, "guard": {"mean": 6.25}})
            gradients = engine.backward(cases.micro_batches(settings, step))
            engine.apply(gradients)
            seen["steps"].append((gradients.loss, gradients.norm))
            if pending:
                trained.set()
        if pending:
            saved = pending.wait()
            seen |= {"error": saved.error, "bytes": saved.bytes}
        seen["updates"] = layout.step(engine.optimizer)
        answers.append(seen)
    return answers


def hold(saver: Any) -> threading.Event:
    """Let a saver write no sooner than the event that is returned."""
    event, finish = threading.Event(), saver._finish
    saver._finish = lambda *arguments: finish(*arguments) if event.wait() else None
    return event


def engine_and_saver(folder: Path) -> tuple[Any, Any]:
    from pretrain.mcore.checkpoint import Saver
    from pretrain.mcore.engine import Engine
    from pretrain.run.checkpoints import Folder

    settings = cases.config()
    begin(settings)
    engine = Engine(settings)
    return engine, Saver(engine, Folder(folder), about(settings))


def saved_in(saver: Any, step: int) -> Any:
    return saver.save({"step": step, "rows": 0, "tokens": 0})


def fill_disk(folder: str, ballast: str) -> list[tuple[str, list[str]]]:
    """Save until the disk is full, then once more with `ballast` gone; return each error and what lies there."""
    saver = engine_and_saver(Path(folder))[1]
    told = []
    for step in (1, 2, 3):
        if step == 3:
            Path(ballast).unlink()
        error = saved_in(saver, step).wait().error
        told.append((error, sorted(path.name for path in Path(folder).iterdir())))
    return told


def limit_files(folder: str, limit: int) -> list[tuple[str, list[str]]]:
    """Save with files of any size, of `limit` bytes on the last rank, and of any size again."""
    import resource

    import torch

    saver = engine_and_saver(Path(folder))[1]
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    last = torch.distributed.get_rank() == torch.distributed.get_world_size() - 1
    told = []
    for step, size in ((1, most[0]), (2, limit), (3, most[0])):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size if last else most[0], most[1]))
        error = saved_in(saver, step).wait().error
        told.append((error, sorted(path.name for path in Path(folder).iterdir())))
    return told


def die_while_saving(folder: str) -> None:
    """Save step 1, and die when step 2's tensors are written and what describes them is not."""
    import fcntl
    import os
    import select
    import signal

    import psutil

    engine, saver = engine_and_saver(Path(folder))
    engine.apply(engine.backward(cases.micro_batches(engine.settings, 0)))
    saved_in(saver, 1).wait()
    aside = saver.folder.aside(2)
    aside.mkdir()
    os.mkfifo(aside / ".metadata.tmp")
    pipe = os.open(aside / ".metadata.tmp", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)  # fewer bytes than will be written: the writer has to wait
    saved_in(saver, 2)
    select.select([pipe], [], [])
    Path(folder, "children").write_text(str(psutil.Process().children(recursive=True)))
    os.kill(os.getpid(), signal.SIGKILL)


def stock_faults() -> dict[str, str]:
    """Load AdamW's state the way Megatron offers; return what goes wrong, by the step that shows it."""
    from pretrain.mcore.engine import Engine

    settings = cases.config(parallel={"distributed_optimizer": True})
    begin(settings)
    kind = {"distrib_optim_sharding_type": "fully_reshardable", "distrib_optim_fully_reshardable_mem_efficient": False}
    engine, faults = Engine(settings), {}
    only = engine.optimizer.chained_optimizers[0]
    try:
        only.state_dict()
    except AssertionError:
        faults["state of a fresh optimizer"] = "AssertionError"
    engine.apply(engine.backward(cases.micro_batches(settings, 0)))
    weights = engine.models[0].module.sharded_state_dict()
    state_dict = only.sharded_state_dict(weights, metadata=kind)
    whole = {
        **state_dict,
        "param_state": {n: {k: t.data for k, t in p.items()} for n, p in state_dict["param_state"].items()},
    }
    try:
        only.load_state_dict(whole)
    except KeyError as error:
        faults["moments"] = f"KeyError {error}"
    del whole["param_state"]
    only.load_state_dict(whole)
    counts = [held["step"] for held in only.optimizer.state.values()]
    if len(counts) > 1 and len({id(count) for count in counts}) == 1:
        faults["updates"] = "one tensor for all parameters"
    return faults
