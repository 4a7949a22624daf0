"""Train, save, load and train on, under any parallel sizes; imported by ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.pretrain.mcore import cases


def about(settings: Any) -> Any:
    from pretrain.run.checkpoints import About

    return About.of(settings, "tokenizer", {"shards": {"a": "1"}}, {"megatron-core": "0.16.1"})


def travel(stops: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Make an engine a stop and train it through `steps`; return (loss, norm) a step, and what else was seen.

    A stop has a case of `cases.config`; `load`: a folder whose newest checkpoint it begins from; `save`: a folder
    that it saves to before step `at`, in the background.
    """
    from pretrain.mcore import layout, state
    from pretrain.mcore.checkpoint import Saver, load, newest
    from pretrain.mcore.engine import Engine
    from pretrain.run.checkpoints import Folder

    answers = []
    for number, stop in enumerate(stops):
        settings = cases.config(**stop.get("case", {}))
        (state.groups if number else state.start)(settings)
        engine, seen = Engine(settings), {}
        if "load" in stop:
            path, passed = newest(Folder(Path(stop["load"])))
            loop, seen["same_random"] = load(engine, path)
            seen |= {"loop": loop, "passed": passed}
        saver = Saver(engine, Folder(Path(stop["save"])), about(settings)) if "save" in stop else None
        seen["steps"], pending = [], None
        for step in range(*stop["steps"]):
            if saver and step == stop["at"]:
                pending = saver.save({"step": step, "rows": step * 8, "tokens": step * 256, "guard": {"mean": 6.25}})
            gradients = engine.backward(cases.micro_batches(settings, step))
            engine.apply(gradients)
            seen["steps"].append((gradients.loss, gradients.norm))
        if pending:
            saved = pending.wait()
            seen |= {"error": saved.error, "bytes": saved.bytes}
        seen["updates"] = layout.step(engine.optimizer)
        answers.append(seen)
    return answers
