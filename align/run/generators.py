"""The engine that completes prompts, by the configuration."""

from __future__ import annotations

import torch

from align.policy import Policy
from align.rollout.generator import Generator
from align.run.job import Job
from align.run.resting import using, within
from millrace import storage


def shares(job: Job, actor: Policy | None) -> bool:
    """Tell whether this rank completes prompts with the actor's own weights, so that none need be handed over."""
    if actor is None or not job.placed.holds("generate") or job.config.rollouts.engine == "http":
        return False
    return _megatron(job) or (job.config.model.backend == "hf" and not within(actor).sharded)


def _megatron(job: Job) -> bool:
    engine = job.config.rollouts.engine
    return engine == "megatron" or (engine == "auto" and job.config.model.backend == "megatron")


def open_generator(job: Job, actor: Policy | None) -> Generator | None:
    """Open the engine on the ranks that complete prompts; None on the others.

    The actor's own weights are used where a rank has them whole; else a copy that is brought up to date.
    """
    given = job.config.rollouts
    if not job.placed.holds("generate"):
        return None
    if given.engine == "http":
        from align.rollout.http import HttpGenerator

        return HttpGenerator(given.url, folder=storage.join(job.folder, "work", "weights"))
    if _megatron(job):
        from align.rollout.megatron import MegatronGenerator

        return MegatronGenerator(within(actor))
    from align.rollout.transformers import TransformersGenerator

    if shares(job, actor):
        with using(actor, "weights"):
            return TransformersGenerator(within(actor).model)
    dtype = torch.bfloat16 if job.config.model.precision == "bf16" else torch.float32
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    return TransformersGenerator.load(job.config.model.start_from, dtype=dtype, device=device)
