"""Processes and their groups: what must stand before a model is built."""

from __future__ import annotations

import datetime

import torch
from megatron.core import parallel_state, tensor_parallel

from pretrain.config import Config


def start(config: Config) -> None:
    """Join the other ranks (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT, LOCAL_RANK) and form the parallel groups.

    Without CUDA the CPU shim is installed, for the life of the process, and gloo carries the collectives.
    """
    import os

    from pretrain.mcore import cpu_shim, fixes

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    else:
        cpu_shim.install()
    fixes.install()
    if not torch.distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(backend, timeout=datetime.timedelta(hours=2))
    groups(config)
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
    )
    torch.manual_seed(config.training.seed)
    tensor_parallel.model_parallel_cuda_manual_seed(config.training.seed)


def data_parallel() -> tuple[int, int]:
    """Return (rank, size) among the ranks that read different rows."""
    return parallel_state.get_data_parallel_rank(), parallel_state.get_data_parallel_world_size()
