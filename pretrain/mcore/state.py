"""Processes and their groups: what must stand before a model is built."""

from __future__ import annotations

import torch
from megatron.core import parallel_state, tensor_parallel

from pretrain.config import Config
from pretrain.mcore import cpu_shim, fixes


def start(config: Config) -> None:
    """Make megatron.core ready in this process, which has joined the others, and form the parallel groups.

    Without CUDA the CPU shim is installed, for the life of the process.
    """
    if not torch.cuda.is_available():
        cpu_shim.install()
    fixes.install()
    groups(config)


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
