"""The engine of one rank: a model, its optimizer, and the three verbs of a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig, finalize_model_grads
from megatron.core.optimizer.clip_grads import clip_grad_by_total_norm_fp32
from megatron.core.packed_seq_params import PackedSeqParams
from megatron.core.pipeline_parallel import get_forward_backward_func
from megatron.core.utils import get_batch_on_this_cp_rank

from pretrain.batch import Batch
from pretrain.config import Config
from pretrain.mcore import model, specs
from pretrain.mcore.lora import PREFIX
from pretrain.mcore.optimizer import optimizer, scheduler


@dataclass(frozen=True)
class Gradients:
    """What a backward pass came to; the same on every rank."""

    loss: float  # nats a label, mean over the global batch
    labels: int  # with weight 1, in the global batch
    norm: float  # L2, over all parameters, before clipping


class Engine:
    """Train one model on the parallel groups that `state.start` formed.

    A step is `backward`, then `apply` or `discard`: between them the caller may judge the loss and the norm.
    chunks: the model as `model.build` makes it from the settings and made, Megatron's configuration of them; None: so
    it is. trained: with gradients and an optimizer, over the parameters that require them. gather_early: updated
    weights are whole when `apply` ends; else, where `overlap` is set, they come while the next forward pass runs, which
    all data-parallel ranks must then take part in.
    """

    def __init__(
        self, config: Config, made: Any = None, chunks: list[Any] | None = None, trained: bool = True,
        gather_early: bool = False,
    ):  # fmt: skip
        self.settings = config
        self.config = made or model.transformer_config(config)
        self.chunks = chunks or model.build(config, self.config)
        self.models: list[Any] = self.chunks
        self.optimizer: Any = None
        self.scheduler: Any = None
        if trained:
            self._train_with(config, gather_early)

    def _train_with(self, config: Config, gather_early: bool) -> None:
        parallel = config.parallel
        late = parallel.overlap and bool(parallel.distributed_optimizer) and not gather_early
        ddp = DistributedDataParallelConfig(
            grad_reduce_in_fp32=True,
            overlap_grad_reduce=parallel.overlap,
            overlap_param_gather=late,
            use_distributed_optimizer=bool(parallel.distributed_optimizer),
        )
        self.models = [
            DistributedDataParallel(self.config, ddp, chunk, disable_bucketing=index > 0)
            for index, chunk in enumerate(self.chunks)
        ]
        self.optimizer = optimizer(config, self.models, late)
        self.scheduler = scheduler(config, self.optimizer)
        if parallel.overlap:
            syncs = [chunk.no_sync for chunk in self.models]
            self.config.no_sync_func = syncs if len(syncs) > 1 else syncs[0]
        self.config.grad_scale_func = self.optimizer.scale_loss
        self.config.finalize_model_grads_func = finalize_model_grads

    @property
    def lr(self) -> float:
        """The learning rate of the last step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def load_weights(self, folder: str, outputs: int = 0) -> None:
        """Take the weights of a Hugging Face folder, of the same model; each rank reads what it holds.

        outputs: of a head that scores sequences, which stays as it is where the folder has none. Adapters stay.
        """
        from pretrain.hf.weights import import_weights

        assert self.settings.model is not None
        states = [model.places(chunk) for chunk in self.chunks]
        pieces = [
            piece
            for state in states
            for piece in model.sharded(state)
            if piece.data.is_floating_point() and not piece.key.startswith(PREFIX)
        ]
        import_weights(folder, self.settings.model, pieces, outputs)
        if self.optimizer is not None:
            self.optimizer.reload_model_params()

    def backward(self, batches: Sequence[Batch]) -> Gradients:
        """Compute gradients of the mean loss over a global batch, of which `batches` are this rank's micro-batches."""
        self.begin()
        loss, labels = self._run(batches, forward_only=False)
        return Gradients(loss / max(labels, 1), labels, self.norm())

    def begin(self) -> None:
        """Forget the gradients of the step before."""
        for chunk in self.models:
            chunk.train()
            chunk.zero_grad_buffer()
        self.optimizer.zero_grad()

    def norm(self) -> float:
        """Return the gradients' L2 norm over all trained parameters, of all ranks; after `run` with gradients."""
        self.optimizer.prepare_grads()
        return float(self.optimizer.get_grad_norm())

    def apply(self, gradients: Gradients) -> None:
        """Clip the gradients and update the weights, at the next learning rate of the schedule."""
        self.scheduler.step(1)
        for each in self.optimizer.chained_optimizers:
            parameters = each.get_parameters()
            if parameters and each.config.clip_grad > 0:
                clip_grad_by_total_norm_fp32(parameters, each.config.clip_grad, gradients.norm)
        self.optimizer.step_with_ready_grads()

    def discard(self) -> None:
        """Leave the weights as they are; the schedule goes on, as the data do."""
        self.scheduler.step(1)

    @torch.no_grad()
    def evaluate(self, batches: Sequence[Batch]) -> tuple[float, int]:
        """Return (sum of losses in nats, labels) over all ranks' micro-batches; weights stay."""
        for chunk in self.models:
            chunk.eval()
        return self._run(batches, forward_only=True)

    def _run(self, batches: Sequence[Batch], forward_only: bool) -> tuple[float, int]:
        rows, length = batches[0].tokens.shape
        if self._flat:
            rows, length = 1, rows * length
        return self._everywhere(self.run(batches, self._forward, rows, length, forward_only))

    def run(self, batches: Sequence[Any], forward: Any, rows: int, length: int, forward_only: bool) -> list[Any]:
        """Pass micro-batches, all of rows x length tokens, through the pipeline; return what became of each.

        forward: takes an iterator of the batches and a chunk of the model; returns the chunk's output and, for the
        last chunk's, what makes of it the loss, a number of tokens and anything: the last stage returns these.
        """
        many = len(self.models) > 1
        iterators: list[Iterator[Any]] = [iter(batches) for _ in self.models]
        found: list[Any] = get_forward_backward_func()(
            forward_step_func=forward,
            data_iterator=iterators if many else iterators[0],
            model=self.models if many else self.models[0],
            num_microbatches=len(batches),
            seq_length=length,
            micro_batch_size=rows,
            forward_only=forward_only,
        )
        return found

    def settle(self) -> None:
        """Wait for weights that other ranks updated and that may still be on their way."""
        for chunk in self.models:
            if getattr(chunk, "ddp_config", None) and chunk.ddp_config.overlap_param_gather:
                chunk.start_param_sync(force_sync=True)

    @property
    def _flat(self) -> bool:
        return specs.te_attention(self.config)

    def _forward(self, batches: Iterator[Batch], chunk: Any) -> tuple[torch.Tensor, Any]:
        """Run a chunk on the next micro-batch; return its output and what makes a loss of it."""
        batch = next(batches)
        device = torch.cuda.current_device()
        names = ("tokens", "labels", "weights", "positions")
        inputs = {name: torch.from_numpy(getattr(batch, name)).to(device, non_blocking=True) for name in names}
        bounds, packed = torch.from_numpy(batch.cu_seqlens).to(device), None
        if self._flat:
            inputs = {name: value.reshape(1, -1) for name, value in inputs.items()}
            longest = batch.tokens.shape[1]
            packed = PackedSeqParams("thd", bounds, bounds, max_seqlen_q=longest, max_seqlen_kv=longest)
        inputs = get_batch_on_this_cp_rank(inputs)
        output = chunk(
            inputs["tokens"], inputs["positions"], None if packed else bounds, labels=inputs["labels"],
            packed_seq_params=packed,
        )  # fmt: skip

        def loss(losses: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            total, count = (losses.float() * inputs["weights"]).sum(), inputs["weights"].sum()
            return total, count.int(), torch.stack([total.detach(), count])

        return output, loss

    def _everywhere(self, sums: list[torch.Tensor]) -> tuple[float, int]:
        """Add up (loss, labels) over micro-batches and data-parallel ranks; tell the other pipeline ranks."""
        total = torch.zeros(2, dtype=torch.float64, device=torch.cuda.current_device())
        if parallel_state.is_pipeline_last_stage(ignore_virtual=True):
            total += torch.stack(sums).double().sum(0)
            torch.distributed.all_reduce(
                total, group=parallel_state.get_data_parallel_group(with_context_parallel=True)
            )
        loss, labels = self.tell(total).tolist()
        return loss, int(labels)

    def tell(self, numbers: torch.Tensor) -> torch.Tensor:
        """Give the last stage's numbers to all stages of the pipeline, in place; of the same shape and type on all."""
        if parallel_state.get_pipeline_model_parallel_world_size() > 1:
            last = parallel_state.get_pipeline_model_parallel_last_rank()
            torch.distributed.broadcast(numbers, last, group=parallel_state.get_pipeline_model_parallel_group())
        return numbers

    @torch.no_grad()
    def logits(self, batch: Batch) -> torch.Tensor:
        """Return logits of the real vocabulary, float32 (b, s, vocab_size), where the whole model is on this rank."""
        device = torch.cuda.current_device()
        self.models[0].eval()
        tokens, positions, bounds = (
            torch.from_numpy(x).to(device) for x in (batch.tokens, batch.positions, batch.cu_seqlens)
        )
        assert self.settings.model is not None
        return self.models[0](tokens, positions, bounds)[..., : self.settings.model.vocab_size].float()
