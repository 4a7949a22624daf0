"""A policy on Megatron: tensor, sequence, pipeline, expert and data parallel, full weights or LoRA."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from align.backends.megatron import files
from align.backends.megatron.rows import Asked, Row, answer, blank, check, each, rows
from align.backends.megatron.settings import configuration, lora
from align.backends.settings import PolicySettings
from align.batch import TokenBatch
from align.errors import AlignSettingsError, ModelError
from align.policy import Head, Loss, Outputs, Part, StepResult
from millrace import storage
from millrace.errors import MillraceError, StorageError
from pretrain.errors import CheckpointError, ParallelError, WeightsError
from pretrain.hf.config import family_of
from pretrain.hf.folder import appearing
from pretrain.hf.tables import OUTPUT, SCORE, table
from pretrain.mcore import checkpoint, model, sequences, state
from pretrain.mcore.engine import Gradients
from pretrain.mcore.lora import PREFIX
from pretrain.run.checkpoints import differences

PARTS: tuple[Part, ...] = ("weights", "optimizer")


class MegatronPolicy:
    """A Hugging Face folder of a known family as a policy, shared by all ranks of the process group.

    Ranks of one data rank give the same micro-batches. Through a pipeline all are padded to the longest one's length.
    """

    def __init__(self, settings: PolicySettings):
        """Open a policy; all ranks together. Raises AlignSettingsError, ModelError."""
        world = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        self.settings, self.head, self.version = settings, settings.head, 0
        self.config = configuration(settings, world)
        assert self.config.model is not None
        self.model = self.config.model
        self.outputs = {"lm": 0, "value": 1, "reward": settings.outputs}[settings.head]
        self.lora = lora(settings.model.peft, self.model, settings.seed)
        try:
            state.join(self.config)
            self.engine = sequences.engine(self.config, self.outputs, self.lora, settings.optimizer is not None)
            self.engine.load_weights(settings.start_from, self.outputs)
        except ParallelError as error:
            raise AlignSettingsError(str(error)) from None
        except WeightsError as error:
            raise ModelError(str(error)) from None
        self.data_rank, self.data_ranks = state.data_parallel()
        self._whole = sequences.Whole(self.engine)
        self._parked = sequences.Parked(self.engine)
        self._saver: checkpoint.Saver | None = None

    # What the model gives

    def logprobs(
        self, batches: Sequence[TokenBatch], *, entropy: bool = False, top_k: int = 0, candidates: bool = False
    ) -> list[Outputs]:
        """Return log-probabilities without gradients, on the CPU; top_k: and the most likely tokens with theirs."""
        self._expect("lm", "logprobs")
        if top_k > (self.model.vocab_size or 0):
            raise AlignSettingsError(f"top_k is {top_k}; the model has {self.model.vocab_size} tokens")
        return self._pass(batches, Asked(entropy, candidates, top_k))

    def values(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        """Return values (n, t) without gradients, on the CPU."""
        self._expect("value", "values")
        return [found.values for found in self._pass(batches, Asked()) if found.values is not None]

    def scores(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        """Return scores (n, outputs) without gradients, on the CPU."""
        self._expect("reward", "scores")
        return [found.scores for found in self._pass(batches, Asked()) if found.scores is not None]

    def _expect(self, head: Head, asked: str) -> None:
        if self.head != head:
            raise AlignSettingsError(f"{asked} need a policy with head {head}; this one's is {self.head}")

    def _pass(self, batches: Sequence[TokenBatch], asked: Asked) -> list[Outputs]:
        if not batches:
            return []
        with torch.no_grad():
            return self._passed(batches, asked)

    def _passed(self, batches: Sequence[TokenBatch], asked: Asked) -> list[Outputs]:
        laid = self._lay(batches)
        for chunk in self.engine.models:
            chunk.eval()

        def use(row: Row, numbers: Tensor) -> tuple[Tensor, Tensor, Outputs]:
            found = answer(numbers[:, 0], row.batch, self.head, asked, self.settings.temperature)
            return numbers.new_zeros(()), self._no_labels, found

        found = self.engine.run(laid, functools.partial(self._forward, use), 1, laid[0].tokens.shape[1], True)
        if not state.last_stage():
            found = [blank(row.batch, self.head, asked, self.outputs) for row in laid]
        return [each(outputs, lambda x: self.engine.tell(x.contiguous()).cpu()) for outputs in found[: len(batches)]]

    def _lay(self, batches: Sequence[TokenBatch], *parts: Part) -> list[Row]:
        self.ready(*parts)
        check(batches, self.model, self.settings.start_from)
        parallel = self.config.parallel
        multiple = (parallel.tensor or 1) if parallel.sequence else 1
        count = (parallel.pipeline or 1) if parallel.virtual_pipeline > 1 else 1
        return rows(batches, multiple, (parallel.pipeline or 1) > 1, count, torch.cuda.current_device())

    def _forward(self, use: Any, given: Iterator[Row], chunk: Any) -> tuple[Tensor, Any]:
        row = next(given)
        half = {"fp32_output": False} if self.engine.config.bf16 else {}
        return chunk(row.tokens, row.positions, row.bounds, **half), functools.partial(use, row)

    @property
    def _no_labels(self) -> Tensor:
        return torch.zeros((), dtype=torch.int, device=torch.cuda.current_device())

    # Training

    def train_step(self, microbatches: Sequence[TokenBatch], loss: Loss, counts: Mapping[str, float]) -> StepResult:
        """Take one optimizer step on the sum of `loss` over the micro-batches of all data ranks."""
        if self.engine.optimizer is None:
            raise AlignSettingsError("this policy is frozen: it was opened without an optimizer")
        if not microbatches:
            raise AlignSettingsError("a step without micro-batches; a rank that has none gives align.layout.empty()")
        laid = self._lay(microbatches, *PARTS)
        asked = Asked("entropy" in loss.needs, "candidates" in loss.needs)

        def use(row: Row, numbers: Tensor) -> tuple[Tensor, Tensor, dict[str, tuple[Tensor, Tensor]]]:
            found = answer(numbers[:, 0], row.batch, self.head, asked, self.settings.temperature)
            nothing = sum(value.sum() * 0 for value in vars(found).values() if value is not None)
            if not row.real:
                return nothing, self._no_labels, {}
            value, metrics = loss(found, row.batch, counts)
            return value + nothing, self._no_labels, {"": (value.detach(), torch.ones(())), **metrics}

        self.engine.begin()
        found = self.engine.run(laid, functools.partial(self._forward, use), 1, laid[0].tokens.shape[1], False)
        sums: dict[str, tuple[float, float]] = {}
        for metrics in found if state.last_stage() else ():
            for name, (value, count) in metrics.items():
                before = sums.get(name, (0.0, 0.0))
                sums[name] = (before[0] + float(value), before[1] + float(count))
        total = state.totals(sums)
        value, norm = total.pop("")[0], self.engine.norm()
        applied = math.isfinite(value) and math.isfinite(norm)
        if applied:
            self.engine.apply(Gradients(value, 0, norm))
            self.version += 1
        else:
            self.engine.discard()
        means = {name: value / count if count else 0.0 for name, (value, count) in total.items()}
        return StepResult(value, norm, self.engine.lr, applied, means)

    def reference(self) -> AbstractContextManager[None]:
        """Compute, while the block runs, what the model gave before training: adapters are off."""
        if self.lora is None or self.head != "lm":
            raise ModelError("only a language model with adapters is its own reference; open the reference beside it")
        return self._without_adapters()

    @contextlib.contextmanager
    def _without_adapters(self) -> Iterator[None]:
        with sequences.adapters_off(self.engine.chunks):
            yield

    # Weights

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every weight whole, by its Hugging Face name, adapters merged; one at a time, all ranks together."""
        self.ready("weights")
        self.engine.settle()
        for matrix in table(self.model, family_of(self.model), self.outputs):
            for name, weight in matrix.split(self._whole.read(matrix.box).view(matrix.shape)):
                layer = name.removesuffix(".weight")
                if self.lora is not None and name != layer and layer in self.lora.layers:
                    a, b = (self._whole.read_key(f"{PREFIX}{layer}.{part}").float() for part in ("lora_A", "lora_B"))
                    added = (b @ a) * self.lora.scale
                    weight = (weight.float() + (added.T if matrix.transposed else added)).to(weight.dtype)
                yield name, weight

    def ready(self, *parts: Part) -> None:
        """Raise AlignSettingsError where a part (the weights where none is named) is offloaded."""
        if away := self._parked.parts.intersection(parts or ("weights",)):
            raise AlignSettingsError(f"the policy's {' and '.join(sorted(away))} are offloaded: onload first")

    def adapters(self) -> dict[str, Tensor]:
        """Return the adapters whole, by Hugging Face name and lora_A or lora_B, with the head that is trained too."""
        self.ready()
        self.engine.settle()
        found = {
            key.removeprefix(PREFIX): self._whole.read_key(key)
            for key in sorted(self._whole.shapes)
            if key.startswith(PREFIX)
        }
        return found | ({SCORE: self._whole.read_key(OUTPUT)} if self.outputs else {})

    def load_adapter(self, folder: str) -> None:
        """Take the adapters of a folder that peft, or `export`, wrote. Raises ModelError where they are others."""
        if self.lora is None:
            raise ModelError("this policy has no adapters; set model.peft")
        self.ready()
        self.engine.settle()
        shapes = self._whole.shapes

        def shape(name: str) -> tuple[int, ...]:
            return shapes[OUTPUT if name == SCORE else PREFIX + name]

        read = files.read_adapter(folder, self.lora, shape)
        for chunk in self.engine.chunks:
            for piece in model.sharded(model.places(chunk)):
                name = SCORE if self.outputs and piece.key == OUTPUT else piece.key.removeprefix(PREFIX)
                if piece.key.startswith(PREFIX) or name == SCORE:
                    box = tuple(slice(a, a + n) for a, n in zip(piece.global_offset, piece.local_shape, strict=True))
                    piece.data.detach().copy_(read(name)[box])
        if self.engine.optimizer is not None:
            self.engine.optimizer.reload_model_params()

    def offload(self, *parts: Part) -> None:
        """Move parts (all where none is named) to host memory."""
        for part in parts or PARTS:
            self._parked.take(part)

    def onload(self, *parts: Part) -> None:
        """Move parts back to the device; all where none is named."""
        for part in parts or PARTS:
            self._parked.put_back(part)

    # Files

    def save(self, folder: str) -> None:
        """Write weights, optimizer, schedule and random numbers into an empty folder; of adapters, these alone.

        A frozen policy has nothing that goes on. Raises StorageError where a rank cannot write; then all do.
        """
        if self.engine.optimizer is None:
            return
        self.ready(*PARTS)
        if self._saver is None:
            self._saver = checkpoint.Saver(self.engine, _Place(folder), None, asynchronous=False)
        self._saver.folder = _Place(folder)
        kept = {"step": self.version, "version": self.version, "about": self._about()}
        saved = self._saver.save(kept).wait()
        if saved.error:
            raise StorageError(saved.error)

    def load(self, folder: str) -> None:
        """Go on from what `save` wrote, on as many ranks. Raises CheckpointError where it does not fit.

        Other parallel sizes may have written it: then random numbers begin anew.
        """
        if self.engine.optimizer is None:
            return
        self.ready(*PARTS)
        path = Path(storage.local_path(storage.absolute(folder)))
        kept = checkpoint.about(path)
        if differ := differences(kept.get("about"), self._about()):
            raise CheckpointError(f"{folder} is of another policy: {'; '.join(differ)}")
        checkpoint.load(self.engine, path)
        self.version = int(kept["version"])

    def _about(self) -> dict[str, Any]:
        adapters = None
        if self.lora is not None:
            adapters = {"rank": self.lora.rank, "alpha": self.lora.alpha, "layers": sorted(self.lora.layers)}
        return {
            "model": asdict(self.model), "head": self.head, "outputs": self.outputs, "adapters": adapters,
            "precision": self.config.training.precision,
        }  # fmt: skip

    def export(self, folder: str) -> None:
        """Write a Hugging Face folder that transformers loads, adapters merged; beside it adapter/ in peft's format."""
        adapters = self.adapters() if self.lora is not None else {}
        stream, error = self.named_weights(), [""]
        if torch.distributed.get_rank() == 0:
            try:
                self._write(folder, stream, adapters)
            except (MillraceError, OSError) as mistake:
                error[0] = str(mistake)
        for _ in stream:  # other ranks, and one that cannot write, take part in gathering what is left
            pass
        torch.distributed.broadcast_object_list(error, src=0)
        if error[0]:
            raise ModelError(f"cannot export to {folder}: {error[0]}")

    def _write(self, folder: str, stream: Iterator[tuple[str, Tensor]], adapters: Mapping[str, Tensor]) -> None:
        base, dtype = self.settings.start_from, "float32" if self.config.training.precision == "fp32" else "bfloat16"
        with appearing(folder) as place:
            labels = self.settings.names if self.outputs else {}
            files.write_model(place, base, self.settings.model.tokenizer, self.model, labels, dtype, stream)
            if self.lora is not None:
                where = storage.join(place, "adapter")
                files.write_adapter(where, adapters, self.lora, base, self.model, self.head)


class _Place:
    """Where a checkpoint of one policy is written: a folder that is there for it alone."""

    def __init__(self, folder: str):
        self.path = Path(storage.local_path(storage.absolute(folder)))

    def aside(self, step: int) -> Path:
        return self.path

    def publish(self, step: int, contents: dict[str, Any], files: dict[str, dict[str, Any]]) -> Path:
        return self.path
