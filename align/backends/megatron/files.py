"""What a Megatron policy writes: a Hugging Face folder, and adapters in peft's files, read back too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from align.errors import ModelError
from align.policy import Head
from millrace import storage
from pretrain.config import Model
from pretrain.hf.config import family_of
from pretrain.hf.folder import write_tensors
from pretrain.hf.tables import SCORE, table
from pretrain.hf.weights import SHARD_BYTES
from pretrain.mcore.lora import Lora, adaptable

WEIGHTS = (".safetensors", ".bin", ".index.json", ".pt", ".pth", ".h5", ".msgpack")
CONFIG, ADAPTER = "adapter_config.json", "adapter_model.safetensors"
SCORES = "ForSequenceClassification"  # transformers' classes with a head of numbers
PEFT = "base_model.model."  # before every name in peft's files
# What peft can say of LoRA that changes what it computes, and that our adapters are not.
PLAIN: dict[str, Any] = {
    "bias": "none", "use_rslora": False, "use_dora": False, "lora_bias": False, "rank_pattern": {}, "alpha_pattern": {},
    "layers_to_transform": None, "layer_replication": None, "alora_invocation_tokens": None,
}  # fmt: skip


def write_model(
    place: str, base: str, tokenizer: str, model: Model, labels: Mapping[str, str], dtype: str,
    tensors: Iterator[tuple[str, Tensor]],
) -> None:  # fmt: skip
    """Write weights, and beside them all else that the base folder has, with the tokenizer's folder over it.

    config.json stays the base's, but for the type of the weights and the head. labels: of outputs, by their numbers;
    {}: a language model.
    """
    shapes = {
        name: shape
        for matrix in table(model, family_of(model), len(labels))
        for name, shape in matrix.sources().items()
    }
    write_tensors(place, shapes, dtype, tensors, SHARD_BYTES)
    for folder in dict.fromkeys((base, tokenizer or base)):
        for name in storage.list_folder(folder):
            kept = folder == base or name not in ("config.json", "generation_config.json")
            if kept and not name.endswith(WEIGHTS) and storage.size(storage.join(folder, name)) is not None:
                storage.write_bytes(storage.join(place, name), storage.read_bytes(storage.join(folder, name)))
    config = storage.read_json(storage.join(base, "config.json"))
    config |= {"dtype": dtype, "torch_dtype": dtype}
    if labels:
        kind = config["architectures"][0]
        config["architectures"] = [kind.replace("ForCausalLM", SCORES).replace("LMHeadModel", SCORES)]
        config["id2label"] = dict(labels)
        config["label2id"] = {label: int(number) for number, label in labels.items()}
        config["tie_word_embeddings"] = config.get("tie_word_embeddings", False)
    storage.write_json(storage.join(place, "config.json"), config)


def write_adapter(folder: str, tensors: Mapping[str, Tensor], lora: Lora, base: str, model: Model, head: Head) -> None:
    """Write peft's two files. tensors: whole, by Hugging Face name and lora_A or lora_B; a head by its name."""
    from safetensors.torch import save

    named = {
        PEFT + (name if name == SCORE else f"{name}.weight"): value.detach().cpu().contiguous()
        for name, value in tensors.items()
    }
    storage.write_bytes(storage.join(folder, ADAPTER), save(named, {"format": "pt"}))
    config = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM" if head == "lm" else "SEQ_CLS", "base_model_name_or_path": base,
        "inference_mode": True, "r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout,
        "target_modules": targets(lora, model), "fan_in_fan_out": family_of(model) == "gpt2",
        "modules_to_save": None if head == "lm" else [SCORE.removesuffix(".weight")], **PLAIN,
    }  # fmt: skip
    storage.write_json(storage.join(folder, CONFIG), config)


def targets(lora: Lora, model: Model) -> list[str]:
    """Return the shortest ends of names that the adapted layers have and no others."""
    layers, found = adaptable(model), []
    for name in sorted({_without_layer(name) for name in lora.layers}):
        parts = name.split(".")
        ends = (".".join(parts[n:]) for n in reversed(range(len(parts))))
        found.append(next(end for end in ends if all(n in lora.layers for n in layers if n.endswith(f".{end}"))))
    return sorted(set(found))


def _without_layer(name: str) -> str:
    """Return what follows the layer's number: model.layers.0.mlp.up_proj -> mlp.up_proj."""
    parts = name.split(".")
    return ".".join(parts[next(n for n, part in enumerate(parts) if part.isdigit()) + 1 :])


def read_adapter(folder: str, lora: Lora, shape: Callable[[str], tuple[int, ...]]) -> Callable[[str], Tensor]:
    """Return a function that reads the adapters' tensors, whole, by the names `write_adapter` takes.

    Raises ModelError where the folder's adapters are others than these: of another rank, scale, layers or kind.
    """
    from safetensors import SafetensorError, safe_open

    url = storage.join(folder, CONFIG)
    there = storage.list_folder(folder)
    if CONFIG not in there or ADAPTER not in there:
        raise ModelError(f"{folder} has no {CONFIG} and {ADAPTER}; it holds {', '.join(there) or 'nothing'}")
    config = storage.read_json(url)
    wanted = {"peft_type": "LORA", "r": lora.rank, "lora_alpha": lora.alpha}
    for name, value in {**PLAIN, **wanted}.items():
        if (config.get(name) or value) != value:
            raise ModelError(f"{url}: {name} is {config[name]!r}; this policy's adapters have {value!r}")
    try:
        file: Any = safe_open(storage.local_path(storage.join(folder, ADAPTER)), framework="pt")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{folder}/{ADAPTER} is damaged: {error}") from None
    names = {f"{PEFT}{name}.{part}.weight" for name in lora.layers for part in ("lora_A", "lora_B")}
    there = list(file.keys())
    kept = {name for name in there if not name.endswith(SCORE)}
    if kept != names:
        other = sorted(kept ^ names)[0]
        raise ModelError(
            f"{folder}/{ADAPTER} has {len(kept)} tensors of adapters, this policy {len(names)}; "
            f"{'only the file' if other in kept else 'only the policy'} has {other}"
        )

    def read(name: str) -> Tensor:
        full = PEFT + (name if name == SCORE else f"{name}.weight")
        if full not in there:
            raise ModelError(f"{folder}/{ADAPTER} has no {full}, which this policy's head needs")
        found: Tensor = file.get_tensor(full)
        if tuple(found.shape) != shape(name):
            raise ModelError(f"{folder}/{ADAPTER}: {full} is {tuple(found.shape)}; the policy has {shape(name)}")
        return found

    return read
