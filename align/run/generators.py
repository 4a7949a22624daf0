"""The engine that completes prompts, by the configuration."""

from __future__ import annotations

import torch

from align.policy import Policy
from align.rollout.generator import Generator
from align.run.job import Job
from align.run.resting import using, within
from millrace import storage


def open_generator(job: Job, actor: Policy | None) -> Generator | None:
    """Open the engine on the ranks that complete prompts; None on the others.

    The actor's own weights are used where a rank has them whole; else a copy that is brought up to date.
    """
    given, backend = job.config.rollouts, job.config.model.backend
    if not job.placed.holds("generate"):
        return None
    if given.engine == "http":
        from align.rollout.http import HttpGenerator

        return HttpGenerator(given.url, folder=storage.join(job.folder, "work", "weights"))
    if given.engine == "megatron" or (given.engine == "auto" and backend == "megatron"):
        from align.rollout.megatron import MegatronGenerator

        return MegatronGenerator(within(actor))
    from align.rollout.transformers import TransformersGenerator

    own = within(actor)
    if backend == "hf" and own is not None and not own.sharded:
        with using(actor, "weights"):
            return TransformersGenerator(own.model, version=own.version)
    dtype = torch.bfloat16 if job.config.model.precision == "bf16" else torch.float32
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    return TransformersGenerator.load(job.config.model.start_from, dtype=dtype, device=device)
