"""The unified layout of nvidia-modelopt 0.47: what its quantised folders say of themselves, and what they hold.

hf_quant_config.json        the algorithm and the modules that are not quantised; TensorRT-LLM and vLLM look for it
config.json                 the same as quantization_config, which transformers, vLLM and SGLang look for
LAYER.weight                the numbers: float8_e4m3fn or int8 (out, in); INT4 uint8 (out / 2, in), the rows 2r in the
                            low halves of bytes, the rows 2r + 1 in the high ones
LAYER.weight_scale          float32: (), (out,) or (out, in / group); a weight is its number times its scale
LAYER.input_scale           float32 (): an input is divided by it before it is rounded
LAYER.pre_quant_scale       (in,): an input is multiplied by it before all else
k_proj.k_scale, v_proj.v_scale  float32 (): of the FP8 key/value cache
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace import storage
from serve.errors import ExportError
from serve.export.source import Source

VERSION = "0.47.0"  # whose layout this is
NAME = "hf_quant_config.json"
SCALES = ("weight_scale", "input_scale", "pre_quant_scale", "k_scale", "v_scale")
FAMILIES = ("llama", "qwen2", "qwen3", "mixtral")
_LINEAR = (
    "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3",
)  # fmt: skip


def quantised(source: Source) -> list[str]:
    """Return the layers whose weights are quantised: every linear one but the head and routers of experts."""
    weights = (name.removesuffix(".weight") for name in source.shapes if name.endswith(".weight"))
    return [layer for layer in weights if layer.rpartition(".")[2] in _LINEAR]


def excluded(source: Source) -> list[str]:
    """Return the modules that stay as they are, as modelopt 0.47 lists them."""
    gates = [
        f"model.layers.{n}.block_sparse_moe.gate" for n in range(source.model.layers if source.model.experts else 0)
    ]
    return ["lm_head", "model.embed_tokens", *gates]


def refuse(source: Source, name: str) -> None:
    """Raise ExportError for a model that this layout cannot hold, or that no engine which reads it takes."""
    if source.family not in FAMILIES:
        raise ExportError(f"{name} takes {', '.join(FAMILIES)}; {source.name} is a {source.family} model")
    if source.outputs:
        raise ExportError(f"{name} takes language models; {source.name} scores sequences")


def settings(algorithm: str, excluded: list[str], kv_cache: str | None, **more: Any) -> dict[str, Any]:
    """Return the content of hf_quant_config.json. more: fields of the algorithm, as group_size."""
    return {
        "producer": {"name": "modelopt", "version": VERSION},
        "quantization": {
            "quant_algo": algorithm, "kv_cache_quant_algo": kv_cache, **more, "exclude_modules": excluded,
        },
    }  # fmt: skip


def for_config(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return the quantization_config of config.json that says what a hf_quant_config.json says."""
    quantization = told["quantization"]
    made: dict[str, Any] = {}
    if quantization["quant_algo"] == "FP8":
        eight = {"dynamic": False, "num_bits": 8, "type": "float"}
        made["config_groups"] = {"group_0": {"input_activations": eight, "weights": dict(eight), "targets": ["Linear"]}}
    made |= {"ignore": quantization["exclude_modules"], "quant_algo": quantization["quant_algo"]}
    if quantization["kv_cache_quant_algo"] == "FP8":
        made["kv_cache_scheme"] = {"dynamic": False, "num_bits": 8, "type": "float"}
    return made | {"producer": told["producer"], "quant_method": "modelopt"}


def write_configs(folder: str, config: Mapping[str, Any], told: Mapping[str, Any]) -> None:
    """Write hf_quant_config.json and a config.json that repeats it."""
    storage.write_json(storage.join(folder, NAME), told)
    storage.write_json(storage.join(folder, "config.json"), {**config, "quantization_config": for_config(told)})
