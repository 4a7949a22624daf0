"""The loop of a training run: the same on every rank, from the newest checkpoint to the last step."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import torch

from millrace import storage
from millrace.progress import Progress
from pretrain import sizes
from pretrain.config import Config
from pretrain.data.loader import Loader
from pretrain.errors import ParallelError, TrainingError
from pretrain.hf.weights import Tokenizer
from pretrain.mcore import checkpoint, state
from pretrain.mcore.engine import Engine, Gradients
from pretrain.memory import Sizes
from pretrain.products import refusal
from pretrain.run.checkpoints import About, Folder, refuse_other
from pretrain.run.environment import versions
from pretrain.run.guard import Guard
from pretrain.run.log import StepLine, ValidationLine
from pretrain.run.meter import Meter, memory_bytes
from pretrain.run.peak import peak
from pretrain.run.watch import Record, open_sinks
from pretrain.run.worker import Life


def train(config: Config, folder: str, life: Life) -> None:
    """Train FOLDER's run to its last step, or until a signal; a run that is done is only handed on.

    Raises ParallelError where this many ranks cannot share the model or the batch as run.json says.
    """
    if refused := refusal(config, Sizes.of(config.parallel, life.place.world)):
        raise ParallelError(f"{life.place.world} ranks were started: {refused}")
    state.start(config)
    rank, ranks = state.data_parallel()
    training, model = config.training, config.model
    assert model is not None
    data = (config.data, training.global_batch, training.micro_batch, rank, ranks, model.vocab_size)
    with Loader(*data, corpus=_gpt_dataset(config, folder)) as loader:
        run = Run(config, folder, life, loader, Engine(config))
        restored = run.restore()
        logs = life.place.rank == 0
        with Record(open_sinks(folder, config, config.training.steps, run.step, Progress()) if logs else ()) as record:
            run.record = record
            for line in restored:
                record.event("restore", run.step, message=line)
            record.event("peak", run.step, message=run.peak.source)
            if run.train():
                run.hand_on()


def _gpt_dataset(config: Config, folder: str) -> Any:
    """Return Megatron's own dataset where it is asked for, made by all ranks together; else None."""
    if config.data.layout == "packed":
        return None
    from pretrain.mcore.gpt_dataset import GptDatasetCorpus

    assert config.model is not None
    rows = config.training.steps * config.training.global_batch
    return GptDatasetCorpus(config.data, rows, storage.join(folder, "work"), config.model.vocab_size)


class Run:
    """One run on one rank: where it is, and what a step of it does."""

    def __init__(self, config: Config, folder: str, life: Life, loader: Loader, engine: Engine):
        self.config, self.folder, self.life, self.loader, self.engine = config, folder, life, loader, engine
        self.step = self.rows = self.tokens = 0  # done, consumed, labels
        self.record = Record()
        self.guard = Guard(config.guard)
        kept = config.checkpoint
        self.checkpoints = Folder.of(storage.join(folder, "checkpoints"), kept.keep_last, kept.keep_every)
        self.about = About.of(config, loader.corpus.tokenizer_sha256, loader.fingerprint, versions())
        self.saver = checkpoint.Saver(engine, self.checkpoints, self.about, kept.asynchronous)
        self.pending: checkpoint.Pending | None = None
        self.saved_at = self.validated_at = -1  # steps
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.peak = peak(config.training.precision, self.device, config.watch.peak_tflops)
        assert config.model is not None
        flops = sizes.flops_per_token(config.model, loader.corpus.seq_length).total
        self.meter = Meter(flops, self.peak.flops, life.place.world)

    def restore(self) -> list[str]:
        """Go on from the newest whole checkpoint, else from given weights; return what is worth saying."""
        if self.life.place.rank == 0:
            self.checkpoints.clean()
        found, said = checkpoint.newest(self.checkpoints)
        if found is None:
            if self.config.training.start_from:
                self.engine.load_weights(self.config.training.start_from)
                said.append(f"weights of {self.config.training.start_from}")
            return said
        said += refuse_other(found, self.about, self.config.checkpoint.other_data)
        kept, same = checkpoint.load(self.engine, found)
        self.step, self.rows, self.tokens = (int(kept[name]) for name in ("step", "rows", "tokens"))
        self.guard.load_state_dict(kept["guard"])
        self.saved_at, self.validated_at = self.step, int(kept["validated_at"])
        if not same:
            said.append("other parallel sizes: the random numbers of dropout begin anew")
        return [*said, f"goes on from {found}"]

    def train(self) -> bool:
        """Train to the last step; return False where a signal ended it before, saved."""
        config, life = self.config, self.life
        while self.step < config.training.steps:
            step = self.step + 1
            if life.stop.agreed(step):
                self.record.event("signal", self.step, signal=life.stop.signal or "on another rank")
                self.save(wait=True)
                return False
            self._train_step(step)
            if config.watch.validate_every and step % config.watch.validate_every == 0:
                self.validate()
            if config.checkpoint.every_steps and step % config.checkpoint.every_steps == 0:
                self.save()
            self._report_save()
            if step % config.watch.log_every == 0:
                for slow in life.stragglers.window(life.marks.take_own_seconds(), config.watch.log_every):
                    self.record.event("straggler", step, message=str(slow), rank=slow.rank)
        self.validate()
        self.save(wait=True)
        return True

    def _train_step(self, step: int) -> None:
        marks, meter, training = self.life.marks, self.meter, self.config.training
        marks.mark(step, "data")
        with meter.spending("data"):
            batches = self.loader.batch(self.rows)
        marks.mark(step, "forward_backward")
        with meter.spending("train"):
            gradients = self.engine.backward(batches)
            verdict = self.guard.judge(gradients.loss, gradients.norm)
            marks.mark(step, "optimizer")
            if verdict == "ok":
                self.engine.apply(gradients)
            else:
                self.engine.discard()
        first = self.rows
        self.step, self.rows, self.tokens = step, first + training.global_batch, self.tokens + gradients.labels
        self._log(gradients, verdict != "ok")
        if verdict != "ok":
            documents = self.guard.record(
                self.folder, step, gradients.loss, gradients.norm, verdict,
                lambda: self.loader.documents(first), self.life.place.rank == 0,
            )  # fmt: skip
            self.record.event("bad_batch", step, verdict=verdict, loss=gradients.loss, documents=documents)

    def _log(self, gradients: Gradients, skipped: bool) -> None:
        timing = asdict(self.meter.step(gradients.labels))
        self.record.step(
            StepLine(
                self.step, self.rows, self.tokens, gradients.loss, gradients.norm, self.engine.lr,
                memory_bytes=memory_bytes(self.device), skipped=skipped, **timing,
            )
        )  # fmt: skip

    def validate(self) -> None:
        """Measure the loss on all held-out rows, once a step; nothing where none are held out."""
        if self.validated_at == self.step or not self.loader.corpus.validation_rows:
            return
        self.life.marks.mark(self.step, "validation")
        total, labels, began = 0.0, 0, time.perf_counter()
        with self.meter.spending("validation"):
            for batches in self.loader.validation():
                loss, count = self.engine.evaluate(batches)
                total, labels = total + loss, labels + count
                self.life.marks.mark(self.step, "validation")
        self.validated_at = self.step
        seconds = time.perf_counter() - began
        self.record.validation(ValidationLine(self.step, total / max(labels, 1), labels, seconds))

    def save(self, wait: bool = False) -> None:
        """Save the state, once a step; `wait` for it, and raise TrainingError where it fails."""
        self.life.marks.mark(self.step, "checkpoint")
        with self.meter.spending("save"):
            if wait or self.saved_at != self.step:
                self._end_save()  # of one that failed all ranks know now, and all save this step again, or none
            if self.saved_at != self.step:
                self.pending = self.saver.save(
                    {"step": self.step, "rows": self.rows, "tokens": self.tokens, "validated_at": self.validated_at,
                     "guard": self.guard.state_dict()}
                )  # fmt: skip
                self.saved_at = self.step
            saved = self._end_save() if wait else None
            if saved is not None and saved.error:
                raise TrainingError(f"the last checkpoint is not saved: {saved.error}; the ones before are whole")

    def _end_save(self) -> checkpoint.Saved | None:
        """Wait for the save that runs, if any; write it down and return it."""
        if self.pending is not None:
            self.pending.wait()
        return self._report_save()

    def _report_save(self) -> checkpoint.Saved | None:
        """Write down a save that has ended since; return it."""
        saved = self.pending.poll() if self.pending is not None else None
        if saved is not None:
            self.pending = None
            if saved.error:
                self.saved_at = -1  # so that the end of the run saves this step again, or says that it cannot
            ended = {"error": saved.error} if saved.error else {"path": saved.path, "bytes": saved.bytes}
            seconds = {"seconds": round(saved.seconds, 3), "blocked_seconds": round(saved.blocked, 3)}
            self.record.event("save", saved.step, **ended, **seconds)
        return saved

    def hand_on(self) -> None:
        """Write the Hugging Face folder from the last checkpoint, on one rank; the others wait at the run's end."""
        self.life.marks.end()
        if not self.config.training.export or self.life.place.rank != 0:
            return
        from pretrain.hf.dist_checkpoint import export_checkpoint

        assert self.config.model is not None
        place = storage.join(self.folder, "hf")
        export_checkpoint(str(self.checkpoints.at(self.step)), self.config.model, place, self._tokenizer())
        self.record.event("export", self.step, path=place)

    def _tokenizer(self) -> Tokenizer | None:
        """Return the shards' tokenizer; None where no set says it."""
        for one in self.loader.corpus.sets:
            if one.manifest and one.tokenizer:
                return Tokenizer(storage.read_bytes(one.tokenizer), int(one.manifest["end_of_document"]))
        return None
