"""config.json for readers old and new: transformers 5 writes fewer fields than readers before it look for.

A reader that misses rope_theta computes with 10,000 and says nothing (vllm-project/vllm#42624,
marin-community/marin#7156), so rotary positions and the weights' type stand there in both spellings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pretrain.config import Model
from pretrain.hf.config import ARCHITECTURES


def both_spellings(config: Mapping[str, Any], model: Model, dtype: str) -> dict[str, Any]:
    """Return a config.json with rotary positions and `dtype` in the spelling of transformers 4 and of 5.

    One that names no class is of its family's language model: most readers take no folder that does not say.
    """
    kinds = config.get("architectures") or [ARCHITECTURES[str(config["model_type"])]]
    made = {**config, "architectures": kinds, "dtype": dtype, "torch_dtype": dtype}
    return made if model.position_embedding == "learned" else made | _rotary(model)


def _rotary(model: Model) -> dict[str, Any]:
    """Return the fields of both spellings, whichever a folder had."""
    kind: dict[str, Any] = {"rope_type": "default"}
    if (scaling := model.rope_scaling) is not None:
        kind = {
            "rope_type": "llama3", "factor": scaling.factor, "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_positions,
        }  # fmt: skip
    return {
        "rope_theta": model.rope_theta,
        "rope_scaling": kind if model.rope_scaling is not None else None,
        "rope_parameters": {**kind, "rope_theta": model.rope_theta},
    }
