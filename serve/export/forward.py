"""Logits of a model that is never whole in memory: transformers' own modules, each given its weights as it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from serve.errors import ExportError

Read = Callable[[str], Any]  # a tensor by its Hugging Face name
Inputs = Callable[[str], Callable[[Any], Any] | None]  # a layer's name -> what its consumer does to its inputs


def logits(config: Mapping[str, Any], read: Read, tokens: Any, outputs: int = 0, inputs: Inputs | None = None) -> Any:
    """Return what a model says of tokens (rows, length): float32 (rows, length, vocabulary), or (..., outputs).

    config: of config.json; transformers builds the model that it describes, so a field that is missing there is
    missing here. inputs: of quantised layers, whose consumer rounds what goes in. Computes in float32 on the CPU.
    Cost: every tensor is read once; memory is the largest module in float32 (of a mixture: a layer's experts).
    Raises ExportError where transformers knows no such model, or where it asks for a tensor there is not.
    """
    import torch

    model = _empty(config, outputs)
    path_of_head, head = _head(model, outputs)
    stages = {path: module for path, module in model.named_modules() if module._parameters}
    tied = path_of_head + ".weight", _embedding(model)
    with contextlib.ExitStack() as hooks, torch.no_grad():
        for path, module in stages.items():
            for handle in _hooks(path, module, lambda name: _tensor(read, name, tied, config), inputs):
                hooks.callback(handle.remove)
        inner = getattr(model, model.base_model_prefix)
        hidden = inner(input_ids=tokens, use_cache=False).last_hidden_state
        return head(hidden).float()


def _empty(config: Mapping[str, Any], outputs: int) -> Any:
    """Return the transformers model of a configuration, without weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    told = {
        name: value for name, value in config.items() if name not in ("quantization_config", "transformers_version")
    }
    kind: Any = AutoModelForSequenceClassification if outputs else AutoModelForCausalLM
    try:
        made = AutoConfig.for_model(**told)
        with _weightless():
            return kind.from_config(made, dtype=torch.float32).eval()
    except (ValueError, KeyError, TypeError, RuntimeError, ArithmeticError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise ExportError(f"transformers cannot make a model of this config.json: {line}") from None


@contextlib.contextmanager
def _weightless() -> Iterator[None]:
    """Make modules whose parameters have no numbers; buffers, such as rotary frequencies, are real."""
    import torch

    register = torch.nn.Module.register_parameter

    def registered(module: Any, name: str, parameter: Any) -> None:
        register(module, name, parameter)
        if parameter is not None and parameter.device.type != "meta":
            module._parameters[name] = torch.nn.Parameter(parameter.to("meta"), requires_grad=False)

    torch.nn.Module.register_parameter = registered
    try:
        yield
    finally:
        torch.nn.Module.register_parameter = register


def _head(model: Any, outputs: int) -> tuple[str, Any]:
    head = model.score if outputs else model.get_output_embeddings()
    return next(path for path, module in model.named_modules() if module is head), head


def _embedding(model: Any) -> str:
    embedding = model.get_input_embeddings()
    return next(f"{path}.weight" for path, module in model.named_modules() if module is embedding)


def _hooks(path: str, module: Any, tensor: Read, inputs: Inputs | None) -> Iterator[Any]:
    """Give a module its weights before it runs, and take them away after."""
    import torch

    empty = dict(module._parameters)
    change = inputs(path) if inputs is not None else None

    def before(_: Any, given: tuple[Any, ...]) -> tuple[Any, ...]:
        for name, parameter in empty.items():
            if parameter is not None:
                whole = tensor(f"{path}.{name}").float()
                module._parameters[name] = torch.nn.Parameter(whole, requires_grad=False)
        return (change(given[0]), *given[1:]) if change is not None else given

    def after(*_: Any) -> None:
        module._parameters.update(empty)

    yield module.register_forward_pre_hook(before)
    yield module.register_forward_hook(after)


def _tensor(read: Read, name: str, tied: tuple[str, str], config: Mapping[str, Any]) -> Any:
    """Return a parameter of a transformers module, from the tensors of files: experts lie stacked in it."""
    import torch

    if name == tied[0] and config.get("tie_word_embeddings", config["model_type"] == "gpt2") and "score" not in name:
        name = tied[1]
    if config["model_type"] != "mixtral" or ".mlp." not in name:
        return read(name)
    layer, _, inner = name.partition(".mlp.")
    outer = f"{layer}.block_sparse_moe"
    if inner == "gate.weight":
        return read(f"{outer}.gate.weight")
    parts = {"experts.gate_up_proj": ("w1", "w3"), "experts.down_proj": ("w2",)}[inner]
    experts = [f"{outer}.experts.{number}" for number in range(config["num_local_experts"])]
    return torch.stack([torch.cat([read(f"{one}.{part}.weight").float() for part in parts]) for one in experts])
