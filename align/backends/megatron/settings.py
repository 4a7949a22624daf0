"""A policy's settings as the configuration of a Megatron model, with nothing left open."""

from __future__ import annotations

import dataclasses

from align.backends.settings import PolicySettings
from align.config import Peft
from align.errors import AlignSettingsError, ModelError
from millrace.config import did_you_mean
from pretrain.config import Config, Data, Model, Optimizer, Parallel, Training
from pretrain.errors import WeightsError
from pretrain.hf.config import read_config
from pretrain.mcore.lora import Lora, adaptable
from pretrain.memory import Sizes
from pretrain.products import refusal


def configuration(settings: PolicySettings, ranks: int) -> Config:
    """Return what `pretrain.mcore` builds the model from, on so many ranks. Raises AlignSettingsError, ModelError.

    Dropout is off, as in generation, or ratios of probabilities would not begin at 1; so is the loss that balances
    experts. Layers are recomputed whole where `recompute` is set.
    """
    if settings.ranks is not None and sorted(settings.ranks) != list(range(ranks)):
        raise AlignSettingsError(
            f"a policy on Megatron takes all ranks of its processes, 0 to {ranks - 1}; it was placed on "
            f"{', '.join(map(str, settings.ranks))}. Place the models on all ranks, or use model.backend hf"
        )
    try:
        model = read_config(settings.start_from)
    except WeightsError as error:
        raise ModelError(f"backend megatron: {error}; model.backend hf takes any transformers model") from None
    parallel = _finished(settings.parallel, ranks)
    config = Config(
        model=dataclasses.replace(
            model, dropout=0.0, aux_loss=0.0, kv_heads=model.key_heads, head_dim=model.head_size
        ),
        data=Data(seq_length=2 * (parallel.tensor or 1)),  # rows are padded to what the sizes ask for
        training=Training(
            steps=settings.steps, global_batch=ranks, micro_batch=1, precision=settings.model.precision,
            recompute="full" if settings.model.recompute else "none", seed=settings.seed, export=False,
        ),
        optimizer=_schedule(settings.optimizer or Optimizer(), settings.steps),
        parallel=parallel,
    )  # fmt: skip
    sizes = Sizes.of(parallel, ranks)
    if refused := refusal(dataclasses.replace(config, training=_batched(config.training, sizes)), sizes):
        raise AlignSettingsError(f"{ranks} ranks cannot share {settings.start_from}: {refused}")
    return config


def _finished(parallel: Parallel, ranks: int) -> Parallel:
    """Fill in the sizes that are left open: one copy of the model a rank, all ranks data parallel."""
    tensor, pipeline = parallel.tensor or 1, parallel.pipeline or 1
    if (parallel.context or 1) > 1:
        raise AlignSettingsError(
            f"parallel.context is {parallel.context}; alignment on Megatron cuts no sequence over ranks: "
            "set it to 1, and parallel.tensor with parallel.sequence for long ones"
        )
    several = ranks > tensor * pipeline
    return dataclasses.replace(
        parallel, ranks=ranks, tensor=tensor, pipeline=pipeline, context=1, expert=parallel.expert or 1,
        sequence=tensor > 1 if parallel.sequence is None else parallel.sequence,
        distributed_optimizer=several if parallel.distributed_optimizer is None else parallel.distributed_optimizer,
    )  # fmt: skip


def _batched(training: Training, sizes: Sizes) -> Training:
    """Return settings of a step with as many micro-batches as any schedule asks for: fillers make them up."""
    return dataclasses.replace(training, global_batch=max(1, sizes.data) * sizes.pipeline)


def _schedule(optimizer: Optimizer, steps: int) -> Optimizer:
    decay, wsd = optimizer.decay(steps), optimizer.schedule == "wsd"
    if optimizer.warmup_steps + decay > steps if wsd else optimizer.warmup_steps >= decay:
        raise AlignSettingsError(
            f"optimizer.warmup_steps {optimizer.warmup_steps} leaves no room in the schedule: it falls over {decay} of "
            f"{steps} steps"
        )
    return dataclasses.replace(optimizer, decay_steps=decay)


def lora(settings: Peft | None, model: Model, seed: int) -> Lora | None:
    """Return which layers have adapters; None where all weights are trained. Raises ModelError, AlignSettingsError."""
    if settings is None:
        return None
    if settings.kind != "lora":
        raise AlignSettingsError(
            f"model.peft.kind {settings.kind} is not on Megatron, lora is; model.backend hf has it"
        )
    layers = adaptable(model)
    chosen = {
        target: {name for name in layers if name == target or name.endswith(f".{target}")}
        for target in settings.targets or sorted({name.rpartition(".")[2] for name in layers})
    }
    for target, found in chosen.items():
        if not found:
            known = sorted({name.rpartition(".")[2] for name in layers})
            raise ModelError(
                f"model.peft.targets: no layer's name ends with {target}.{did_you_mean(target, known)} "
                f"Those that can have adapters: {', '.join(known)}"
            )
    return Lora(settings.rank, settings.alpha, frozenset().union(*chosen.values()), settings.dropout, seed)
