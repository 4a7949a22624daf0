"""Runs with one patch left out; imported by ranks."""

from __future__ import annotations

from typing import Any

from tests.pretrain.mcore.cases import config, micro_batches


def _train(case: dict[str, Any]) -> str:
    """Return what one step fails with; empty where it does not."""
    from pretrain.mcore import state
    from pretrain.mcore.engine import Engine

    try:
        settings = config(**case)
        state.groups(settings)
        engine = Engine(settings)
        engine.apply(engine.backward(micro_batches(settings, 0)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


def without(piece: str, sizes: dict[str, int]) -> str:
    from pretrain.mcore import cpu_shim, fixes

    cpu_shim.install(leave_out=piece)
    fixes.install()
    return _train({"model": {"experts": 4}, "parallel": {"distributed_optimizer": True, **sizes}})


def router_unfixed() -> str:
    from pretrain.mcore import cpu_shim

    cpu_shim.install()
    return _train({"model": {"experts": 4}})
