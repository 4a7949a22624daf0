"""The loop of an alignment run, on one rank: restore, step, validate, save, hand on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from align.config import Config
from align.data.chat import Chat
from align.methods import open_method
from align.methods.method import Method
from align.run.checkpoints import FOLDER, Checkpoints
from align.run.data import RunData
from align.run.guard import Guard
from align.run.job import Job
from align.run.log import AlignLine, AlignValidation
from align.run.measure import gathered
from align.run.samples import SampleTable
from align.run.start import about, open_chat
from millrace import storage
from millrace.progress import Progress
from pretrain.errors import TrainingError
from pretrain.run.checkpoints import Folder
from pretrain.run.environment import versions
from pretrain.run.meter import memory_bytes
from pretrain.run.watch import Record, open_sinks
from pretrain.run.worker import Life


def train(config: Config, folder: str, life: Life) -> None:
    """Run FOLDER's method to its last step, or until a signal; a run that is done is only handed on."""
    from align.rollout.placement import placed

    torch.manual_seed(config.training.seed + life.place.rank)  # of dropout
    chat, groups = open_chat(config), placed(config.placement, life.place, config.rollouts.asynchronous)
    data = _data(config, chat, storage.join(folder, "work", "data"), life.place.rank == 0)
    table = SampleTable(folder) if life.place.rank == 0 else None
    job = Job(config, folder, life, chat, data, groups, Record(), table)
    method = open_method(job)
    kept = config.checkpoint
    checkpoints = Checkpoints(
        Folder.of(storage.join(folder, FOLDER), kept.keep_last, kept.keep_every),
        about(folder), method.policies, versions(), config.as_dict(),
    )  # fmt: skip
    found, said = checkpoints.newest()
    state: Mapping[str, Any] = {"step": 0, "tokens": 0, "bad": 0}
    if found is not None:
        state = checkpoints.load(found)
        method.restore(state["method"])
        said = [*said, f"goes on from {found}"]
    if table is not None:
        table.cut(state["step"])
    sinks = open_sinks(folder, config, method.steps, state["step"], Progress()) if job.first else ()
    with Record(sinks) as record:
        job.record = record
        for line in said:
            record.event("restore", state["step"], message=line)
        run = Run(job, method, checkpoints, state)
        if run.train():
            run.hand_on()


def _data(config: Config, chat: Chat, cache: str, first: bool) -> RunData:
    """Read the data: one rank makes tokens of them, where that was not done, and the others find those."""
    made = RunData(config, chat, cache) if first else None
    gathered(None)
    return made or RunData(config, chat, cache)


class Run:
    """The loop's own state: how far it is."""

    def __init__(self, job: Job, method: Method, checkpoints: Checkpoints, state: Mapping[str, Any]):
        self.job, self.method, self.checkpoints = job, method, checkpoints
        self.done, self.tokens, bad = (int(state[name]) for name in ("step", "tokens", "bad"))
        self.guard = Guard(job.config.guard, job.folder, bad)
        self.saved_at = self.validated_at = self.done if self.done else -1

    def train(self) -> bool:
        """Go on to the last step; return False where a signal ended it before, saved."""
        config, life, method = self.job.config, self.job.life, self.method
        life.marks.mark(self.done, "data")
        method.begin(self.done)
        if not self.done:
            self.validate()  # what the model was before
        while self.done < method.steps:
            number = self.done + 1
            if life.stop.agreed(number):
                self.job.record.event("signal", self.done, signal=life.stop.signal or "on another rank")
                self.save(last=True)
                return False
            life.marks.mark(number, "forward_backward")
            self._step(number)
            if config.watch.validate_every and number % config.watch.validate_every == 0:
                self.validate()
            if config.checkpoint.every_steps and number % config.checkpoint.every_steps == 0:
                self.save()
        self.validate()
        self.save(last=True)
        return True

    def _step(self, number: int) -> None:
        began = time.perf_counter()
        came = self.method.step(number)
        seconds = time.perf_counter() - began
        self.done, self.tokens = number, self.tokens + came.tokens
        device = "cuda" if torch.cuda.is_available() else "cpu"
        speed, held = came.tokens / max(seconds, 1e-9), memory_bytes(device)
        line = AlignLine(number, self.tokens, dict(came.metrics), seconds, speed, held, not came.applied)
        self.job.record.step(line)
        if self.job.table is not None:
            self.job.table.add(number, came.samples)
        if bad := self.guard.judge(number, came, self.job.first):
            self.job.record.event("bad_batch", number, **bad)

    def validate(self) -> None:
        """Measure held-out data, once a step."""
        if self.validated_at == self.done:
            return
        self.validated_at, began = self.done, time.perf_counter()
        self.job.life.marks.mark(self.done, "validation")
        if metrics := self.method.validate():
            self.job.record.validation(AlignValidation(self.done, metrics, time.perf_counter() - began))

    def save(self, last: bool = False) -> None:
        """Save, once a step; a save that fails costs nothing but itself. `last`: raise TrainingError where it fails."""
        if self.saved_at == self.done:
            return
        self.job.life.marks.mark(self.done, "checkpoint")
        began = time.perf_counter()
        state = {"step": self.done, "tokens": self.tokens, "bad": self.guard.bad_steps, "method": self.method.state()}
        ended = self.checkpoints.save(self.done, state)
        self.job.record.event("save", self.done, **ended, seconds=round(time.perf_counter() - began, 3))
        if "error" not in ended:
            self.saved_at = self.done
        elif last:
            raise TrainingError(f"the last checkpoint is not saved: {ended['error']}; the ones before are whole")

    def hand_on(self) -> None:
        """Write the Hugging Face folder that the run hands on."""
        self.job.life.marks.end()
        place = storage.join(self.job.folder, "hf")
        self.method.export(place)
        if self.job.first and self.job.config.model.template:  # what was learnt with it is of no use without it
            storage.write_bytes(storage.join(place, "chat_template.jinja"), self.job.chat.source.encode())
        self.job.record.event("export", self.done, path=place)
