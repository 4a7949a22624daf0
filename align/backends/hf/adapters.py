"""Few trained weights beside frozen ones: peft's LoRA, QLoRA, IA3 and p-tuning; how LoRA and IA3 are merged.

* lora, qlora  W + alpha / rank x B A (Hu et al. 2021); of qlora W is kept in 4 bits (Dettmers et al. 2023)
* ia3          rows of keys and values, columns of the second feed-forward layer, scaled (Liu et al. 2022)
* p_tuning     virtual tokens first, written by a small network (Liu et al. 2021); there is nothing to merge
* adapter      `align.backends.hf.bottleneck`
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from align.config import Peft
from align.errors import ModelError
from align.policy import Head
from millrace import storage

NAME = "default"  # of the adapter, peft's own


class LibraryAdapters:
    """Adapters of the peft library around a model."""

    def __init__(self, model: Any, settings: Peft, head: Head, seed: int):
        """Attach adapters, drawn by a seed, and freeze the rest. Raises ModelError where none would fit."""
        from peft import get_peft_model

        self.settings = settings
        self.mergeable = settings.kind != "p_tuning"
        if head != "lm" and not self.mergeable:
            raise ModelError(f"p_tuning trains language models; this one has head {head!r}. Take lora or adapter")
        self.off = False
        try:
            with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 reads a property transformers 5 renamed
                torch.manual_seed(seed)
                self.model = get_peft_model(model, _config(model, settings, head))
        except ValueError as error:
            raise ModelError(f"peft {settings.kind} does not fit this model: {str(error).splitlines()[0]}") from None

    @property
    def virtual(self) -> int:
        """Tokens that p-tuning puts before each sequence."""
        return 0 if self.mergeable or self.off else self.settings.tokens

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        """Leave the adapters out while the block runs."""
        self.off = True
        try:
            with self.model.disable_adapter() if self.mergeable else contextlib.nullcontext():
                yield
        finally:
            self.off = False

    def base(self, name: str) -> str | None:
        """Return the name a weight has in the model without adapters; None of a weight that is an adapter's."""
        if ".lora_" in name or ".ia3_l." in name or ".original_module." in name:
            return None
        return name.replace(".base_layer.", ".").replace(f".modules_to_save.{NAME}.", ".")

    def merged(self, name: str, weight: Tensor, whole: Callable[[Any], Tensor]) -> Tensor:
        """Return a weight of the model, whole, with what the adapters make of it, in float32.

        name: with adapters attached, as `named_parameters` of the base model gives it. Exact: it is computed in
        float32 and rounded by the caller. Raises ModelError for p-tuning.
        """
        if not self.mergeable:
            raise ModelError("p_tuning's virtual tokens are no weights of the model; it cannot be merged")
        path, found, kind = name.rpartition(".base_layer.")[0], ".base_layer." in name, name.rpartition(".")[2]
        if not found:
            return weight
        layer = self.model.get_base_model().get_submodule(path)
        weight = _dense(weight, getattr(layer.get_base_layer(), kind)).float()
        if hasattr(layer, "lora_A"):
            if kind != "weight" or NAME not in layer.lora_A:
                return weight
            a, b = (whole(part[NAME].weight).float() for part in (layer.lora_A, layer.lora_B))
            delta = (b @ a) * layer.scaling[NAME]
            return weight + (delta.T if layer.fan_in_fan_out else delta)
        scale = whole(layer.ia3_l[NAME]).float()
        if kind == "bias":
            return weight if layer.is_feedforward else weight * scale.flatten()
        return weight * (scale.T if layer.fan_in_fan_out else scale)

    def save(self, folder: str, state: dict[str, Tensor]) -> None:
        """Write peft's own files. state: the adapters' weights whole, by their names in `model`."""
        from peft import get_peft_model_state_dict
        from safetensors.torch import save

        if self.mergeable:
            state = get_peft_model_state_dict(self.model, state_dict=state, adapter_name=NAME)
        else:
            encoder, prefix = self.model.prompt_encoder[NAME], f"prompt_encoder.{NAME}."
            weights = {name.removeprefix(prefix): value for name, value in state.items()}
            made = torch.func.functional_call(encoder, weights, (self.model.prompt_tokens[NAME].cpu(),))
            state = {"prompt_embeddings": made}
        content = save({name: value.detach().cpu().contiguous() for name, value in state.items()}, {"format": "pt"})
        storage.write_bytes(storage.join(folder, "adapter_model.safetensors"), content)
        storage.write_json(storage.join(folder, "adapter_config.json"), self._description())

    def _description(self) -> dict[str, Any]:
        from enum import Enum

        given = {**self.model.peft_config[NAME].to_dict(), "inference_mode": True}
        return {
            name: sorted(value) if isinstance(value, set) else value.value if isinstance(value, Enum) else value
            for name, value in given.items()
        }


def _config(model: Any, settings: Peft, head: Head) -> Any:
    from peft import IA3Config, LoraConfig, PromptEncoderConfig, TaskType
    from transformers.pytorch_utils import Conv1D

    task = TaskType.CAUSAL_LM if head == "lm" else TaskType.SEQ_CLS
    if settings.kind == "p_tuning":
        return PromptEncoderConfig(task_type=task, num_virtual_tokens=settings.tokens)
    transposed = any(isinstance(module, Conv1D) for module in model.modules())
    if settings.kind == "ia3":
        return IA3Config(task_type=task, fan_in_fan_out=transposed, **_ia3_targets(model, settings))
    return LoraConfig(
        task_type=task, r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout,
        target_modules=list(settings.targets) or "all-linear", fan_in_fan_out=transposed,
    )  # fmt: skip


def _ia3_targets(model: Any, settings: Peft) -> dict[str, list[str]]:
    """Return which layers are scaled: keys, values and the second feed-forward layer, by peft's table of families."""
    from peft.utils.constants import (
        TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING as FEEDFORWARD,
    )
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING as TARGETS

    family = model.config.model_type
    if not settings.targets and family not in TARGETS:
        raise ModelError(f"peft knows no ia3 layers of {family} models; name them in model.peft.targets")
    targets = list(settings.targets) or TARGETS[family]
    within = FEEDFORWARD.get(family, ["down_proj", "fc2", "c_proj", "dense_4h_to_h"])
    return {"target_modules": targets, "feedforward_modules": [name for name in targets if name in within]}


def _dense(weight: Tensor, parameter: Any) -> Tensor:
    """Return a weight as numbers, where bitsandbytes keeps it in 4 bits."""
    state = getattr(parameter, "quant_state", None)
    if state is None:
        return weight
    functional = import_module("bitsandbytes.functional")  # of no extra; carries no types
    dense: Tensor = functional.dequantize_4bit(weight, state)
    return dense
