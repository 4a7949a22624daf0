"""Processes and their groups: what must stand before a model is built."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from megatron.core import parallel_state, tensor_parallel

from pretrain.config import Config
from pretrain.errors import ParallelError
from pretrain.mcore import cpu_shim, fixes


def start(config: Config) -> None:
    """Make megatron.core ready in this process, which has joined the others, and form the parallel groups.

    Without CUDA the CPU shim is installed, for the life of the process.
    """
    if not torch.cuda.is_available():
        cpu_shim.install()
    fixes.install()
    groups(config)


def join(config: Config) -> None:
    """Start where nothing was started yet, in a process that may be alone; several models share one set of groups.

    Raises ParallelError where groups of other sizes were formed.
    """
    if not torch.distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend, store=torch.distributed.HashStore(), rank=0, world_size=1)
    if not parallel_state.model_parallel_is_initialized():
        if not (torch.cuda.is_available() or cpu_shim.installed()):
            cpu_shim.install()
        fixes.install()
        groups(config)
        return
    parallel, there = config.parallel, _formed()
    wanted = {name: getattr(parallel, name) for name in there}
    if config.model is not None and not config.model.experts:
        wanted["expert"] = there["expert"]
    if differ := [f"{name} {there[name]}, not {wanted[name]}" for name in there if there[name] != wanted[name]]:
        raise ParallelError(
            f"the models of one process share their parallel sizes; the first has {', '.join(differ)}: "
            "give them the same, or processes of their own"
        )


def _formed() -> dict[str, int]:
    return {
        "tensor": parallel_state.get_tensor_model_parallel_world_size(),
        "pipeline": parallel_state.get_pipeline_model_parallel_world_size(),
        "virtual_pipeline": parallel_state.get_virtual_pipeline_model_parallel_world_size() or 1,
        "context": parallel_state.get_context_parallel_world_size(),
        "expert": parallel_state.get_expert_model_parallel_world_size(),
    }


def leave() -> None:
    """Let the parallel groups go, so that others can be formed; models that used them are of no more use."""
    parallel_state.destroy_model_parallel()


def groups(config: Config) -> None:
    """Form the parallel groups of a configuration, in place of those there were."""
    parallel, model = config.parallel, config.model
    parallel_state.destroy_model_parallel()
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=parallel.tensor,
        pipeline_model_parallel_size=parallel.pipeline,
        virtual_pipeline_model_parallel_size=parallel.virtual_pipeline if parallel.virtual_pipeline > 1 else None,
        context_parallel_size=parallel.context,
        expert_model_parallel_size=parallel.expert,
        expert_tensor_parallel_size=1 if model is not None and model.experts else None,
        # the watchdog comes first, and names a rank; Megatron's 30 minutes may be too short for a save
        distributed_timeout_minutes=max(30, round(config.guard.hang_seconds / 10)),
    )
    seed(config.training.seed)


def seed(number: int) -> None:
    """Begin this rank's random numbers, those of dropout, anew.

    Ranks that work on the same hidden states draw alike; stages of the pipeline and ranks with other tokens do not,
    or each would drop the same places.
    """
    stage = parallel_state.get_pipeline_model_parallel_rank()
    number += 100_000 * stage + 100_000_000 * parallel_state.get_data_parallel_rank(with_context_parallel=True)
    torch.manual_seed(number)
    tensor_parallel.model_parallel_cuda_manual_seed(number)


def data_parallel() -> tuple[int, int]:
    """Return (rank, size) among the ranks that read different rows."""
    return parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()


def totals(sums: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Add up pairs of numbers by name over the data-parallel ranks' last stages; return them on every rank.

    A rank that lacks a name adds nothing to it; what other stages give is not looked at.
    """
    told: list[dict[str, tuple[float, float]]] = []
    if last_stage():
        group = parallel_state.get_data_parallel_group(with_context_parallel=True)
        told = [{} for _ in range(group.size())]
        torch.distributed.all_gather_object(told, dict(sums), group=group)
    added: dict[str, tuple[float, float]] = {}
    for each in told:
        for name, (value, count) in each.items():
            before = added.get(name, (0.0, 0.0))
            added[name] = (before[0] + value, before[1] + count)
    if parallel_state.get_pipeline_model_parallel_world_size() > 1:
        box = [added]
        torch.distributed.broadcast_object_list(
            box, parallel_state.get_pipeline_model_parallel_last_rank(),
            group=parallel_state.get_pipeline_model_parallel_group(),
        )  # fmt: skip
        added = box[0]
    return added


def leads() -> bool:
    """Tell whether this rank is the first of those that share one copy of the model."""
    return bool(parallel_state.get_model_parallel_group().rank() == 0)


def told(number: int) -> int:
    """Return the number that the first rank of this copy of the model gives; all its ranks together."""
    group = parallel_state.get_model_parallel_group()
    sent = torch.tensor(number, device=torch.cuda.current_device())
    torch.distributed.broadcast(sent, torch.distributed.get_global_rank(group, 0), group=group)
    return int(sent)


def last_stage() -> bool:
    """Tell whether this rank has the model's head."""
    return bool(parallel_state.is_pipeline_last_stage(ignore_virtual=True))
