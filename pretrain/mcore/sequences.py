"""What a policy needs of Megatron: an engine whose model takes whole sequences, with a head and adapters."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from typing import Any

from megatron.core.distributed import finalize_model_grads

from pretrain.config import Config
from pretrain.mcore import lora as adapters
from pretrain.mcore import model
from pretrain.mcore.engine import Engine
from pretrain.mcore.gather import Whole
from pretrain.mcore.heads import SequenceModel
from pretrain.mcore.inference import Decoder, bare
from pretrain.mcore.lora import Lora
from pretrain.mcore.offload import Parked

__all__ = ["Decoder", "Parked", "Whole", "adapters_off", "engine"]


def engine(config: Config, outputs: int, lora: Lora | None, trained: bool) -> Engine:
    """Return an engine on the groups that were formed. outputs: of a head of numbers; 0: the vocabulary.

    Its layers are Megatron's own: Transformer Engine's fuse a norm with the linear layer behind it, whose input
    adapters need, and attend without our cache. Updated weights are gathered at once: ranks that pull from a queue make
    different numbers of forward passes. Gradients are summed over micro-batches and data-parallel ranks: a loss
    is divided by the global counts already.
    """
    made = model.transformer_config(config, te=False)
    chunks = model.build(config, made, functools.partial(SequenceModel, outputs=outputs), te=False)
    assert config.model is not None
    if lora is not None:
        for chunk in chunks:
            adapters.attach(bare(chunk), config.model, lora)
    built = Engine(config, made, chunks, trained, gather_early=True)
    made.finalize_model_grads_func = _summed
    return built


def _summed(models: Any, labels: Any = None, **given: Any) -> None:
    finalize_model_grads(models, None, **given)


def adapters_off(chunks: Sequence[Any]) -> contextlib.ExitStack:
    """Return a block in which no chunk applies its adapters."""
    return adapters.all_off([bare(chunk) for chunk in chunks])
