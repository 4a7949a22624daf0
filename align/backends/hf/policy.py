"""A policy that is any transformers model: whole on one rank, or sharded over several by FSDP2."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from align.backends.fingerprint import fingerprint
from align.backends.hf import checkpoint, export
from align.backends.hf import ranks as spread_ranks
from align.backends.hf.adapters import LibraryAdapters
from align.backends.hf.attention import DOCUMENTS
from align.backends.hf.batch import Limits, inputs, spread
from align.backends.hf.bottleneck import Bottlenecks
from align.backends.hf.logprobs import most_likely, token_logprobs
from align.backends.hf.model import open_model
from align.backends.hf.network import Network
from align.backends.hf.optimizer import Trainer
from align.backends.hf.probe import EXAMPLES
from align.backends.hf.ranks import Ranks
from align.backends.settings import PolicySettings
from align.batch import TokenBatch
from align.errors import AlignSettingsError, ModelError
from align.layout import empty, padded
from align.policy import Head, Loss, Need, Outputs, Part, StepResult

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
NEEDS: dict[Head, frozenset[Need]] = {
    "lm": frozenset({"logprobs", "entropy", "candidates"}), "value": frozenset({"values"}),
    "reward": frozenset({"scores"}),
}  # fmt: skip


class HuggingFacePolicy:
    """`align.policy.Policy` over transformers.

    All ranks of the policy take different micro-batches. Half precision computes in bfloat16 with float32 master
    weights, gradient sums and reductions. Dropout is off, but for that of `peft.dropout` in training steps.
    """

    def __init__(self, settings: PolicySettings):
        """Open a model on the ranks of `settings`. Raises ModelError where the folder or the adapters do not fit."""
        self.settings, self.head = settings, settings.head
        self.version = 0
        self.ranks = Ranks.of(settings.ranks)
        self.data_rank, self.data_ranks = self.ranks.rank, self.ranks.size
        self.dtype = DTYPES[settings.model.precision]
        self.adapters: LibraryAdapters | Bottlenecks | None = None
        self.network = self._open()
        self.network.settle()
        if settings.model.recompute:
            self.network.recompute()
        self.trainer = self._trainer()
        self._away: set[Part] = set()
        self.limits = self._limits()

    @property
    def model(self) -> Any:
        """The transformers model, adapters in it, for an engine that shares its weights; with other ranks its shards.

        Raises ModelError under p_tuning, whose virtual tokens come from outside.
        """
        if self.adapters is not None and self.adapters.virtual:
            raise ModelError("p_tuning's virtual tokens are not in the model: nothing can be generated with it alone")
        return self.network.inner

    @property
    def sharded(self) -> bool:
        """Whether ranks hold parts of the weights. A 4-bit base is whole on each."""
        peft = self.settings.model.peft
        return self.ranks.size > 1 and not (peft is not None and peft.kind == "qlora")

    def _open(self) -> Network:
        settings, ranks = self.settings, self.ranks
        trained = settings.optimizer is not None and settings.model.peft is None
        kept = torch.float32 if trained else self.dtype  # of trained weights float32 is what is kept
        if not self.sharded:
            network = self._built(kept, weights=True)
            network.to(ranks.device)
            if self.head != "lm":
                network.scorer.float()
            return network
        source, failure = dict[str, Tensor](), ""
        try:
            if ranks.rank == 0:
                whole = self._built(kept, weights=True)
                source = {**dict(whole.named_parameters()), **dict(whole.named_buffers())}
        except ModelError as error:
            failure = str(error)
        failure = ranks.told(failure)
        if failure:
            raise ModelError(failure)
        network = self._built(kept, weights=False)
        if self.head != "lm":
            network.scorer.float()
        spread_ranks.shard(network, ranks, self.dtype, source)
        return network

    def _built(self, dtype: torch.dtype, weights: bool) -> Network:
        settings, peft = self.settings, self.settings.model.peft
        model = open_model(settings, dtype, self.ranks.device, weights)
        if peft is None:
            model.requires_grad_(settings.optimizer is not None)
            return Network(model, self.head)
        if peft.kind == "adapter":
            self.adapters = Bottlenecks(model, peft, settings.seed)
        else:
            self.adapters = LibraryAdapters(model, peft, self.head, settings.seed)
        return Network(self.adapters.model, self.head)

    def _trainer(self) -> Trainer | None:
        if self.settings.optimizer is None:
            return None
        trained = {name: p for name, p in self.network.named_parameters() if p.requires_grad}
        if not trained:
            raise ModelError(f"nothing of {self.settings.start_from} is trained: no adapter fits its layers")
        halved = [name for name, p in trained.items() if not self._float32(p)]
        return Trainer(trained, self.settings.optimizer, self.settings.steps, halved)

    def _float32(self, parameter: nn.Parameter) -> bool:
        """Tell whether a trained parameter stays in float32: where FSDP casts it, and of a scoring layer."""
        scoring = self.head != "lm" and any(parameter is each for each in self.network.scorer.parameters())
        return self.sharded or self.dtype == torch.float32 or scoring

    def _limits(self) -> Limits:
        config = self.network.inner.config.get_text_config()
        rows = self.network.inner.get_input_embeddings().weight.shape[0]
        positions = getattr(config, "max_position_embeddings", None)
        if self.adapters is not None and self.adapters.virtual:
            return Limits(self.settings.start_from, rows, positions, self.adapters.virtual, packs=False)
        attention = self.network.inner.config._attn_implementation
        cheap = attention == "flash_attention_2" or (attention == DOCUMENTS and self.ranks.device.type == "cpu")
        limits = Limits(self.settings.start_from, rows, positions, packed=cheap)
        return dataclasses.replace(limits, packs=self._packs(limits))

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _packs(self, limits: Limits) -> bool:
        """Tell whether a sequence gets the same from this model behind another one as alone, by trying."""
        ways = (dataclasses.replace(limits, packs=packs, packed=packs) for packs in (False, True))
        apart, together = (
            self.network(inputs(padded(EXAMPLES), way, self.ranks.device, self.head == "reward")).float()
            for way in ways
        )
        near = 1e-4 if self.dtype == torch.float32 else 5e-2
        return bool((together - apart).abs().max() <= near * apart.abs().max())

    @functools.cached_property
    def base(self) -> str:
        """A hash of the model this one started from."""
        return fingerprint(self.settings.start_from)

    # What is computed

    def logprobs(
        self, batches: Sequence[TokenBatch], *, entropy: bool = False, top_k: int = 0, candidates: bool = False
    ) -> list[Outputs]:
        """Return log-probabilities without gradients, on the CPU; top_k: and the most likely tokens with theirs."""
        assert not (top_k and candidates), "one candidate list"
        needs = {"logprobs", *(["entropy"] if entropy else []), *(["candidates"] if candidates else [])}
        made: list[Outputs] = self._all(batches, frozenset(needs), top_k)
        return made

    def values(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        """Return values (n, t) without gradients, on the CPU. Head "value"."""
        return [made.values for made in self._all(batches, frozenset({"values"})) if made.values is not None]

    def scores(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        """Return scores (n, outputs) without gradients, on the CPU. Head "reward"."""
        return [made.scores for made in self._all(batches, frozenset({"scores"})) if made.scores is not None]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _all(self, batches: Sequence[TokenBatch], needs: frozenset[Need], top_k: int = 0) -> list[Outputs]:
        """Run batches; a rank with fewer than the others takes part in their collectives with fillers."""
        most = self.ranks.span(len(batches))[1] if self.sharded else len(batches)
        found = []
        for batch in batches:
            made = self._outputs(batch, needs, top_k)
            found.append(Outputs(**{name: value.cpu() for name, value in vars(made).items() if value is not None}))
        for _ in range(most - len(batches)):
            self._outputs(empty(), needs - {"candidates"})
        return found

    def _outputs(self, batch: TokenBatch, needs: frozenset[Need], top_k: int = 0, learnt: bool = False) -> Outputs:
        """Run the model on a micro-batch. learnt: answers are 0 at tokens outside the mask, and cost nothing."""
        if not needs <= NEEDS[self.head]:
            asked = ", ".join(sorted(needs - NEEDS[self.head]))
            raise AlignSettingsError(f"a policy of head {self.head!r} gives no {asked}")
        assert "weights" not in self._away, "the weights are offloaded"
        given = inputs(batch, self._now(), self.ranks.device, last=self.head == "reward", learnt=learnt)
        answers = self.network(given, virtual=bool(self._now().virtual))
        shape = tuple(batch.labels.shape)
        if self.head == "reward":
            return Outputs(scores=answers)
        if self.head == "value":
            return Outputs(values=spread(answers[:, 0], given.places, shape))
        flat = (batch.labels, batch.fields["candidates"]) if "candidates" in needs else (batch.labels,)
        chosen = [each.to(answers.device).flatten(0, 1)[given.places] for each in flat]
        top, most = most_likely(answers, self.settings.temperature, top_k) if top_k else (None, None)
        found = token_logprobs(
            answers, chosen[0], self.settings.temperature,
            candidates=chosen[1] if "candidates" in needs else None, entropy="entropy" in needs,
        )  # fmt: skip
        names = ("logprobs", "candidates", "entropy", "top")
        made = dict(zip(names, (*found, top), strict=True))
        made["candidates"] = most if top_k else made["candidates"]
        return Outputs(**{n: spread(v, given.places, shape) for n, v in made.items() if v is not None})

    def _now(self) -> Limits:
        """Return what the model takes, with the adapters on or off."""
        if self.adapters is not None and self.adapters.virtual != self.limits.virtual:
            return dataclasses.replace(self.limits, virtual=0)
        return self.limits

    def train_step(self, microbatches: Sequence[TokenBatch], loss: Loss, counts: Mapping[str, float]) -> StepResult:
        """Take one optimizer step on the sum of `loss` over the micro-batches of all data ranks."""
        trainer = self.trainer
        if trainer is None:
            raise AlignSettingsError(
                f"the policy of {self.settings.start_from} is frozen: it has no optimizer settings"
            )
        assert not self._away, "weights or optimizer are offloaded"
        total, metrics = torch.zeros((), dtype=torch.float64, device=self.ranks.device), dict[str, Tensor]()
        least, most = self.ranks.span(len(microbatches))
        assert 0 < least == most, f"data ranks have {least} to {most} micro-batches; fillers make them equal"
        trainer.zero()
        with self._dropping():
            for batch in microbatches:
                given = batch.to(self.ranks.device)
                share, found = loss(self._outputs(given, loss.needs, learnt=True), given, counts)
                share.backward()
                total += share.detach()
                for name, pair in found.items():
                    seen = torch.stack([torch.as_tensor(each, device=total.device).double() for each in pair])
                    metrics[name] = metrics[name] + seen if name in metrics else seen
        trainer.gather()
        if self.ranks.size > 1 and not self.sharded:
            trainer.sum(self.ranks.sum)
        names = sorted(metrics)
        square = trainer.squared_norm().to(total.device)
        sums = self.ranks.sum(
            torch.stack([total, square, *(each for name in names for each in metrics[name])])
        ).tolist()
        value, norm = sums[0], math.sqrt(sums[1] if self.sharded else square.item())
        means = {name: sums[2 + 2 * i] / max(sums[3 + 2 * i], 1e-12) for i, name in enumerate(names)}
        applied = math.isfinite(value) and math.isfinite(norm)
        lr = trainer.apply(norm) if applied else trainer.skip()
        trainer.zero()
        self.version += applied
        return StepResult(value, norm, lr, applied, means)

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        """Let the adapters' dropout drop, where it is wanted, while the block runs."""
        peft = self.settings.model.peft
        drops = [m for n, m in self.network.named_modules() if "lora_dropout" in n and isinstance(m, nn.Dropout)]
        for module in drops if peft is not None and peft.dropout else ():
            module.train()
        try:
            yield
        finally:
            for module in drops:
                module.eval()

    @contextlib.contextmanager
    def reference(self) -> Iterator[None]:
        """Compute, while the block runs, what the model gave before training: adapters are off."""
        if self.adapters is None:
            raise ModelError(
                f"all weights of {self.settings.start_from} are trained; its reference is a frozen policy of its own"
            )
        with self.adapters.disabled():
            yield

    # Where it lies

    def offload(self, *parts: Part) -> None:
        """Move parts (all where none is named) to host memory, pinned where there is a GPU."""

        def away(tensor: Tensor) -> Tensor:
            moved = tensor.cpu()
            return moved.pin_memory() if self.ranks.device.type == "cuda" else moved

        self._move(away, parts)
        self._away |= set(parts or ("weights", "optimizer"))

    def onload(self, *parts: Part) -> None:
        """Move parts back to the device; all where none is named."""
        self._move(lambda tensor: tensor.to(self.ranks.device, non_blocking=True), parts)
        self._away -= set(parts or ("weights", "optimizer"))

    def _move(self, place: Callable[[Tensor], Tensor], parts: Sequence[Part]) -> None:
        if not parts or "weights" in parts:
            self.network._apply(place)
            if self.trainer is not None:
                self.trainer.follow()
        if self.trainer is not None and (not parts or "optimizer" in parts):
            self.trainer.move(place)

    # What leaves it

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield every weight whole, by its Hugging Face name, adapters merged; one at a time, all ranks together."""
        return export.named_weights(self)

    def save(self, folder: str) -> None:
        """Write this rank's trained weights, optimizer, schedule and random numbers into a folder."""
        checkpoint.save(self, folder)

    def load(self, folder: str) -> None:
        """Go on from what `save` wrote. Raises CheckpointError where base model, ranks or shapes are others."""
        checkpoint.load(self, folder)

    def export(self, folder: str) -> None:
        """Write a Hugging Face folder with adapters merged, and adapter/ in peft's format."""
        export.export(self, folder)
