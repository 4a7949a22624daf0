"""What leaves a Hugging Face policy: whole weights by their names in files, and folders others load."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from align.backends.hf.ranks import whole
from millrace import storage
from pretrain.hf.folder import appearing, write_tensors

if TYPE_CHECKING:
    from align.backends.hf.policy import HuggingFacePolicy

SHARD_BYTES = 5_000_000_000
TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "vocab.txt", "tokenizer.model", "spiece.model", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def named_weights(policy: HuggingFacePolicy) -> Iterator[tuple[str, Tensor]]:
    """Yield every weight whole, in the policy's precision; one at a time, all ranks together.

    Adapters are merged in float32. Names are those of the files transformers would write: experts that it holds
    stacked come apart. Raises ModelError for adapters that cannot be merged.
    """
    if policy.adapters is not None and not policy.adapters.mergeable:
        policy.adapters.merged("", torch.empty(0), whole)  # says why not
    masters = policy.trainer.masters if policy.trainer is not None else {}
    halved = set(policy.trainer.halved) if policy.trainer is not None else set()
    full = {name.removeprefix("model."): masters[name] for name in halved}
    for name, tensor in _tensors(policy.network.inner):
        outer = name if policy.adapters is None else f"base_model.model.{name}"
        known: str | None = name
        weight = whole(full[outer]) if outer in full else whole(tensor)
        if policy.adapters is not None:
            known = policy.adapters.base(name)
            if known is None:
                continue
            weight = policy.adapters.merged(name, weight, whole)
        assert known is not None
        for written, part in _as_written(policy.network.inner, known, weight):
            yield written, part.to(policy.dtype) if part.is_floating_point() else part


def _tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Give parameters, tied ones once, and the buffers that belong into files."""
    yield from model.named_parameters()
    for path, module in model.named_modules():
        for name, value in module.named_buffers(recurse=False):
            if value.is_floating_point() and name not in module._non_persistent_buffers_set:
                yield f"{path}.{name}", value


def _as_written(model: Any, name: str, weight: Tensor) -> Iterator[tuple[str, Tensor]]:
    from transformers.core_model_loading import revert_weight_conversion

    yield from revert_weight_conversion(model, {name: weight}).items()


def export(policy: HuggingFacePolicy, folder: str) -> None:
    """Write a folder that transformers loads: weights with adapters merged, config.json, tokenizer; adapter/ beside.

    Adapters that cannot be merged are written alone, in adapter/: a config.json beside them would load as the model
    before training. Each tensor is gathered twice on all ranks, for its shape and to be written by the first.
    """
    first = policy.ranks.rank == 0
    mergeable = policy.adapters is None or policy.adapters.mergeable
    shapes = {name: tuple(w.shape) for name, w in policy.named_weights()} if mergeable else {}
    adapter = _adapter_state(policy)
    if not first:
        for _ in policy.named_weights() if mergeable else ():
            pass
        policy.ranks.wait()
        return
    with appearing(folder) as place:
        if mergeable:
            write_tensors(place, shapes, NAMES[policy.dtype], policy.named_weights(), SHARD_BYTES)
        base, tokenizer = policy.settings.start_from, policy.settings.model.tokenizer
        copy(TOKENIZER, tokenizer or base, place)
        copy(("generation_config.json",), base, place)
        if policy.adapters is not None:
            policy.adapters.save(storage.join(place, "adapter"), adapter)
        if mergeable:
            storage.write_json(storage.join(place, "config.json"), config_json(policy))
    policy.ranks.wait()


def _adapter_state(policy: HuggingFacePolicy) -> dict[str, Tensor]:
    """Return the trained weights whole, by their names in the adapters' model; on the CPU."""
    if policy.adapters is None or policy.trainer is None:
        return {}
    found = {}
    for name, parameter in policy.trainer.parameters.items():
        tensor = policy.trainer.masters[name] if name in policy.trainer.halved else parameter
        found[name.removeprefix("model.")] = whole(tensor).cpu()
    return found


def copy(names: Iterable[str], source: str, target: str) -> None:
    """Copy the files that a folder has of these, as they are."""
    for name in names:
        if storage.exists(storage.join(source, name)):
            storage.write_bytes(storage.join(target, name), storage.read_bytes(storage.join(source, name)))


def config_json(policy: HuggingFacePolicy) -> dict[str, Any]:
    """Return the config.json of an exported model: the base's, with what has changed.

    transformers 5 writes `dtype` and `rope_parameters`; readers of before look for torch_dtype, rope_theta and
    rope_scaling and take 10000 where they find none, so both are there.
    """
    given: dict[str, Any] = storage.read_json(storage.join(policy.settings.start_from, "config.json"))
    kind, config = type(policy.network.inner), policy.network.inner.config
    name = kind.__name__.removeprefix("FSDP")
    given |= {"architectures": [name], "dtype": NAMES[policy.dtype], "torch_dtype": NAMES[policy.dtype]}
    given.pop("quantization_config", None)
    rope = given.get("rope_parameters")
    if isinstance(rope, dict) and "rope_theta" in rope:
        given.setdefault("rope_theta", rope["rope_theta"])
        scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
        given.setdefault("rope_scaling", None if scaling.get("rope_type") == "default" else scaling)
    if policy.head != "lm":
        labels = policy.settings.names
        given |= {"id2label": labels, "label2id": {label: int(number) for number, label in labels.items()}}
        end = config.eos_token_id[0] if isinstance(config.eos_token_id, list) else config.eos_token_id
        if given.get("pad_token_id") is None:
            given["pad_token_id"] = end
    return given
