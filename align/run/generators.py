"""The engine that completes prompts, by the configuration."""

from __future__ import annotations

from typing import Any

from align.policy import Policy
from align.rollout.generator import Generator
from align.run.job import Job
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
    own: Any = actor
    if given.engine == "megatron" or (given.engine == "auto" and backend == "megatron"):
        from align.rollout.megatron import MegatronGenerator

        return MegatronGenerator(own)
    from align.rollout.transformers import TransformersGenerator

    if backend == "hf" and actor is not None and not own.sharded:
        return TransformersGenerator(own.model, version=actor.version)
    return TransformersGenerator.load(job.config.model.start_from)
