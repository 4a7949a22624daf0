"""Which backend a model is aligned on, and why; and the one door to both."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Literal

from align.backends.settings import PolicySettings
from align.config import Config
from align.errors import AlignSettingsError
from align.policy import Policy
from pretrain.errors import WeightsError
from pretrain.hf.config import read_config
from pretrain.machine import GIB, Machine

Backend = Literal["hf", "megatron"]

LARGE = 30_000_000_000  # parameters above which gathering whole layers costs more than tensor parallelism does
COMFORTABLE = 0.6  # of the GPUs' memory for states; the rest is for activations, logits and gathered layers
TRAINED = 16  # bytes a trained parameter: float32 weight, gradient, two moments of Adam
NEEDS = {"hf": ("torch", "transformers"), "megatron": ("torch", "megatron.core")}
PEFT = {"hf": ("lora", "qlora", "ia3", "p_tuning", "adapter"), "megatron": ("lora",)}


def choose(config: Config, machine: Machine, parameters: int) -> tuple[Backend, str]:
    """Return the backend of a configuration and the reason, in a sentence.

    Hugging Face, unless the model has experts (on GPUs), more than 30 billion parameters, or states that FSDP would
    not spread comfortably over a node's GPUs; then Megatron, where it knows the family. Raises AlignSettingsError
    where the backend that is asked for cannot be had.
    """
    asked = config.model.backend
    if asked != "auto":
        refused = _refused(asked, config)
        if refused:
            raise AlignSettingsError(f"model.backend is {asked}, but {refused}")
        return asked, f"backend {asked}: model.backend says so"
    hf, megatron = _refused("hf", config), _refused("megatron", config)
    if hf and megatron:
        raise AlignSettingsError(f"no backend can be had: hf: {hf}; megatron: {megatron}")
    if hf:
        return "megatron", f"backend megatron: {hf}"
    large = _too_large(config, machine, parameters)
    if large is None:
        return "hf", f"backend hf: {_fits(config, machine, parameters)}"
    if megatron:
        return "hf", f"backend hf, though {large}: {megatron}"
    return "megatron", f"backend megatron: {large}"


def open_policy(settings: PolicySettings, backend: Backend) -> Policy:
    """Open a policy on a backend, on the ranks that `settings` names; all of them together."""
    if backend == "hf":
        from align.backends.hf.policy import HuggingFacePolicy

        return HuggingFacePolicy(settings)
    from align.backends.megatron.policy import MegatronPolicy

    return MegatronPolicy(settings)


def count(folder: str) -> int:
    """Return the parameters of a Hugging Face folder, by the headers of its files. Raises WeightsError."""
    from pretrain.hf.folder import TensorFolder

    return sum(math.prod(shape) for shape in TensorFolder(folder).shapes.values())


def _refused(backend: Backend, config: Config) -> str:
    """Return why a backend cannot be had; "" where it can."""
    for package in NEEDS[backend]:
        if not _importable(package):
            return f"{package} is not installed (pip install 'millrace[align]')"
    peft = config.model.peft
    if peft is not None and peft.kind not in PEFT[backend]:
        return f"Megatron has no {peft.kind}, only lora"
    if backend == "megatron":
        try:
            read_config(config.model.start_from)
        except WeightsError as error:
            return f"Megatron cannot hold this model: {error}"
    return ""


def _importable(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def _too_large(config: Config, machine: Machine, parameters: int) -> str | None:
    """Return what speaks against data parallelism alone; None where nothing does."""
    experts = _experts(config.model.start_from)
    if experts and machine.kind == "gpu":
        return f"its {experts} experts want expert parallelism"
    if parameters > LARGE:
        return f"{_billions(parameters)} parameters want tensor parallelism (more than {_billions(LARGE)})"
    if machine.kind == "gpu" and _states(config, parameters) > COMFORTABLE * _memory(machine):
        return (
            f"its states of {_states(config, parameters) / GIB:.0f} GiB are more than {COMFORTABLE:.0%} of the "
            f"{_memory(machine) / GIB:.0f} GiB of a node's GPUs"
        )
    return None


def _fits(config: Config, machine: Machine, parameters: int) -> str:
    where = "one process" if machine.kind == "cpu" else f"{min(machine.per_node, machine.devices)} GPU(s) with FSDP"
    states = f"{_states(config, parameters) / GIB:.1f} GiB of weights, gradients and optimizer"
    return f"{_billions(parameters)} parameters, {states}, fit {where}"


def _states(config: Config, parameters: int) -> int:
    """Return the bytes of what is kept between passes, over all ranks; of adapters the frozen base alone."""
    weight = 4 if config.model.precision == "fp32" else 2
    if config.model.peft is not None:
        return parameters // 2 if config.model.peft.kind == "qlora" else weight * parameters
    return TRAINED * parameters


def _memory(machine: Machine) -> int:
    return machine.memory * min(machine.per_node, machine.devices)


def _experts(folder: str) -> int:
    try:
        return read_config(folder).experts or 0
    except WeightsError:
        return 0


def _billions(parameters: int) -> str:
    return f"{parameters / 1e9:.1f} B" if parameters >= 1e9 else f"{parameters / 1e6:.1f} M"
