"""How a run is spread over ranks: what the configuration leaves open is chosen, and the arithmetic printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from pretrain.config import Config, Model, Optimizer
from pretrain.errors import ParallelError, SettingsError
from pretrain.machine import GIB, Machine
from pretrain.memory import Sizes, memory
from pretrain.planned import USABLE, Plan, Tried, words
from pretrain.products import refusal
from pretrain.sizes import flops_per_token, parameters


def completed(config: Config, vocab_size: int, seq_length: int) -> Config:
    """Fill in all but parallel sizes. vocab_size and seq_length: of the shards. Raises SettingsError.

    A model may have more rows than the shards' vocabulary, as published ones do; fewer could not hold its tokens.
    """
    if config.model is None:
        raise SettingsError("there is no model section; write one, or name a Hugging Face folder: training.start_from")
    length = config.data.seq_length or seq_length
    if seq_length % length and length % seq_length:
        raise SettingsError(f"data.seq_length {length} must divide the shards' rows of {seq_length}, or be a multiple")
    return dataclasses.replace(
        config,
        model=_finished_model(config.model, vocab_size, length),
        data=dataclasses.replace(config.data, seq_length=length),
        optimizer=_finished_schedule(config.optimizer, config.training.steps),
    )


def _finished_schedule(optimizer: Optimizer, steps: int) -> Optimizer:
    wsd, decay = optimizer.schedule == "wsd", optimizer.decay(steps)
    if wsd and optimizer.warmup_steps + decay > steps:
        raise SettingsError(
            f"optimizer.warmup_steps {optimizer.warmup_steps} and decay_steps {decay}, the last ones of wsd, are more "
            f"than training.steps {steps}"
        )
    if optimizer.warmup_steps >= decay and not wsd:
        raise SettingsError(f"optimizer.warmup_steps {optimizer.warmup_steps} must be fewer than decay_steps {decay}")
    return dataclasses.replace(optimizer, decay_steps=decay)


def _finished_model(model: Model, vocab_size: int, seq_length: int) -> Model:
    if model.vocab_size is not None and model.vocab_size < vocab_size:
        raise SettingsError(f"model.vocab_size {model.vocab_size} is less than the shards' vocabulary {vocab_size}")
    if model.positions is not None and model.positions < seq_length:
        raise SettingsError(f"model.positions {model.positions} is less than data.seq_length {seq_length}")
    return dataclasses.replace(
        model,
        vocab_size=model.vocab_size or vocab_size,
        positions=model.positions or seq_length,
        kv_heads=model.key_heads,
        head_dim=model.head_size,
    )


def resolve(config: Config, machine: Machine, vocab_size: int, seq_length: int) -> Config:
    """Return the configuration with nothing left open, as the run folder keeps it. Raises SettingsError."""
    return plan(completed(config, vocab_size, seq_length), machine).config


def plan(config: Config, machine: Machine) -> Plan:
    """Choose the parallel sizes that a `completed` configuration leaves open: the fewest that fit.

    A copy of the model is spread over as few ranks as hold it; all others read other rows (data parallelism, whose
    distributed optimizer already divides the largest part of the states). Of equally few ranks most are tensor
    parallel, with sequence parallelism, within a node (Narayanan et al. 2021, takeaways 1 and 2); then pipeline;
    then context, which alone divides a long sequence's activations further. Experts are spread before a copy is, as
    they take ranks that data parallelism has anyway. Recomputation is left as it is set: with attention that keeps no
    scores "selective" saves nothing, and "full" costs a third more work, for good; the error says where it would do.

    Where ranks are open and no sizes use all GPUs, fewer are used, in whole nodes. Raises ParallelError, with the
    product that does not hold, or the memory that is missing.
    """
    tried: list[Tried] = []
    for ranks in _ranks(config, machine):
        for sizes in candidates(config, machine, ranks):
            refused = refusal(config, sizes) or _too_large(config, machine, sizes)
            if refused is None:
                return _planned(config, machine, sizes, tuple(tried))
            tried.append(Tried(sizes, refused))
    raise ParallelError(_nothing_fits(config, machine, tried))


def _planned(config: Config, machine: Machine, sizes: Sizes, tried: tuple[Tried, ...]) -> Plan:
    model, length = config.model, config.data.seq_length
    assert model is not None
    assert length is not None
    parallel = dataclasses.replace(config.parallel, **dataclasses.asdict(sizes))
    return Plan(
        config=dataclasses.replace(config, parallel=parallel),
        machine=machine,
        sizes=sizes,
        memory=memory(config, sizes, machine.kind == "gpu"),
        parameters=parameters(model),
        flops=flops_per_token(model, length),
        tried=tried,
    )


def _ranks(config: Config, machine: Machine) -> Iterator[int]:
    given = config.parallel.ranks
    if machine.kind == "cpu":
        yield 1 if given is None else given
    elif given is not None:
        if given > machine.devices:
            raise ParallelError(f"parallel.ranks {given} is more than there are GPUs: {machine}")
        yield given
    else:
        nodes = range(machine.devices // machine.per_node, 1, -1)
        yield from (count * machine.per_node for count in nodes)
        yield from range(min(machine.devices, machine.per_node), 0, -1)


def candidates(config: Config, machine: Machine, ranks: int) -> Iterator[Sizes]:
    """Yield the sizes that may be tried on so many ranks, the first choice first; given sizes are kept.

    An open context size is a power of two, as lengths are: else one that only suits the batch would be found.
    """
    model, parallel = config.model, config.parallel
    assert model is not None
    node = min(ranks, machine.per_node)
    shares = [n for n in range(1, ranks + 1) if ranks % n == 0]
    found = [
        Sizes(
            ranks, tensor, pipeline, context, expert, parallel.virtual_pipeline,
            sequence=tensor > 1 if parallel.sequence is None else parallel.sequence,
            distributed_optimizer=ranks > tensor * pipeline if parallel.distributed_optimizer is None
            else parallel.distributed_optimizer,
        )
        for tensor in _open(parallel.tensor, [n for n in shares if n <= node and model.heads % n == 0])
        for pipeline in _open(parallel.pipeline, [n for n in shares if model.layers % n == 0])
        for context in _open(parallel.context, [n for n in shares if n & (n - 1) == 0])
        for expert in _open(parallel.expert, [n for n in shares if (model.experts or 1) % n == 0])
    ]  # fmt: skip
    return iter(sorted(found, key=lambda s: (s.model_parallel, -s.tensor, s.context, s.expert)))


def _open(given: int | None, choices: list[int]) -> list[int]:
    return choices if given is None else [given]


def _too_large(config: Config, machine: Machine, sizes: Sizes) -> str | None:
    """Return what is missing, where a rank does not fit into USABLE of its memory."""
    needs, has = memory(config, sizes, machine.kind == "gpu").total, machine.memory_of_rank(sizes.ranks)
    if needs <= USABLE * has:
        return None
    return f"{needs / GIB:.1f} GiB a rank, of {USABLE * has / GIB:.1f} usable ({USABLE:.0%} of {has / GIB:.1f})"


def _nothing_fits(config: Config, machine: Machine, tried: list[Tried]) -> str:
    """Say what stood nearest: the memory of the smallest rank, or else the product of the first choice."""
    possible = [each.sizes for each in tried if refusal(config, each.sizes) is None]
    if not possible:
        return tried[0].refused
    best = min(possible, key=lambda sizes: memory(config, sizes, machine.kind == "gpu").total)
    line = f"the model does not fit on {machine}: at best {_too_large(config, machine, best)}, with {words(best)}"
    recomputing = dataclasses.replace(config, training=dataclasses.replace(config.training, recompute="full"))
    if config.training.recompute != "full" and _too_large(recomputing, machine, best) is None:
        line += "; with training.recompute full it fits"
    return line
