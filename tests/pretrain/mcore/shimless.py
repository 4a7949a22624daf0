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


def beside_transformers(folder: str) -> list[float]:
    """Save a model of transformers, open it again where the shim is, and return both's logits of a token."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

    from pretrain.mcore import cpu_shim

    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=8, **sizes))
    model.save_pretrained(folder)
    cpu_shim.install()
    again = AutoModelForCausalLM.from_pretrained(folder)
    tokens = torch.arange(8)[None]
    return [each(tokens).logits[0, -1, 0].item() for each in (model.eval(), again.eval())]


def router_unfixed() -> str:
    from pretrain.mcore import cpu_shim

    cpu_shim.install()
    return _train({"model": {"experts": 4}})
