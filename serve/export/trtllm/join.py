"""A written checkpoint back to Hugging Face tensors, from config.json and the names alone.

The way back is written apart from the way there (tables.py): it puts ranks together, as a server's ranks together
compute, and so it finds a part that is in the wrong rank, missing, or there twice and different.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from millrace import storage
from millrace.errors import StorageError
from serve.errors import ExportError
from serve.export.trtllm.layers import check_config, required, stages

DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F8_E4M3": "float8_e4m3fn"}
_NAME = re.compile(r"(?:model\.layers|transformer\.h)\.(\d+)\.(.+)\.(weight|bias)")
_EXPERT_LAYER = re.compile(r"model\.layers\.(\d+)\.block_sparse_moe\.experts\.(\d+)\.(w[123])")
# Of a layer: Hugging Face's module -> TensorRT-LLM's, and how the ranks' parts make the whole.
_MODULES = {
    "input_layernorm": ("input_layernorm", "same"), "ln_1": ("input_layernorm", "same"),
    "post_attention_layernorm": ("post_layernorm", "same"), "ln_2": ("post_layernorm", "same"),
    "self_attn.q_proj": ("attention.qkv", "q"), "self_attn.k_proj": ("attention.qkv", "k"),
    "self_attn.v_proj": ("attention.qkv", "v"), "attn.c_attn": ("attention.qkv", "qkv"),
    "self_attn.q_norm": ("attention.q_layernorm", "same"), "self_attn.k_norm": ("attention.k_layernorm", "same"),
    "self_attn.o_proj": ("attention.dense", "columns"), "attn.c_proj": ("attention.dense", "columns"),
    "mlp.gate_proj": ("mlp.fc", "rows"), "mlp.up_proj": ("mlp.gate", "rows"), "mlp.c_fc": ("mlp.fc", "rows"),
    "mlp.down_proj": ("mlp.proj", "columns"), "mlp.c_proj": ("mlp.proj", "columns"),
    "block_sparse_moe.gate": ("mlp.router", "same"),
}  # fmt: skip
_OUTSIDE = {
    "model.embed_tokens.weight": "transformer.vocab_embedding.weight",
    "transformer.wte.weight": "transformer.vocab_embedding.weight",
    "transformer.wpe.weight": "transformer.position_embedding.weight",
    "model.norm.weight": "transformer.ln_f.weight", "transformer.ln_f.weight": "transformer.ln_f.weight",
    "transformer.ln_f.bias": "transformer.ln_f.bias", "lm_head.weight": "lm_head.weight",
}  # fmt: skip


class Checkpoint:
    """A folder of config.json and rank*.safetensors, mapped into memory.

    loaded: what becomes of each rank's tensor when it is loaded, given its name. Raises ExportError where
    config.json is none that TensorRT-LLM takes, or where a rank's file has other names, shapes or types than the
    layers of that rank.
    """

    def __init__(self, folder: str, loaded: Callable[[str, Any], Any] = lambda name, tensor: tensor):
        self.folder, self._loaded = folder, loaded
        self.config = _config(folder)
        check_config(self.config)
        mapping = self.config["mapping"]
        self.tp, self.pp = mapping["tp_size"], mapping["pp_size"]
        self._stages = stages(self.config["num_hidden_layers"], self.pp)
        self._ranks = [_open(storage.join(folder, f"rank{rank}.safetensors")) for rank in range(self.tp * self.pp)]
        for rank, file in enumerate(self._ranks):
            _compare(folder, rank, file, required(self.config, rank))

    def tensor(self, name: str) -> Any:
        """Return a Hugging Face tensor, put together; where weights are FP8, times their scale, as float32."""
        expert = _EXPERT_LAYER.fullmatch(name.removesuffix(".weight"))
        if expert:
            return self._expert(int(expert[1]), int(expert[2]), expert[3])
        inside = _NAME.fullmatch(name)
        if inside and inside[2] in _MODULES:
            return self._inside(int(inside[1]), inside[2], inside[3])
        if name not in _OUTSIDE:
            raise ExportError(f"{self.folder} has no place for {name}")
        return self._outside(_OUTSIDE[name])

    def scales(self) -> Iterator[tuple[str, Any]]:
        """Yield all scales, with the rank's number before the name."""
        for rank, file in enumerate(self._ranks):
            for name in file.keys():  # noqa: SIM118 - a file, no mapping
                if name.endswith("_scaling_factor"):
                    yield f"rank{rank}:{name}", file.get_tensor(name)

    def input_scale(self, name: str) -> float | None:
        """Return the scale of what a Hugging Face layer multiplies, None where that is not quantised."""
        expert, inside = _EXPERT_LAYER.fullmatch(name), _NAME.fullmatch(name + ".weight")
        if self.config["quantization"]["quant_algo"] != "FP8":
            return None
        if expert:
            return self._scale(int(expert[1]), "mlp.proj" if expert[3] == "w2" else "mlp.fc", "activation")
        module, how = _MODULES.get(inside[2], ("", "same")) if inside else ("", "same")
        return self._scale(int(inside[1]), module, "activation") if inside and how != "same" else None

    def _scale(self, layer: int, module: str, kind: str, expert: int = 0) -> float:
        """Return a scale of a layer, which all ranks must agree on."""
        stage, local = self._place(layer)
        name = f"transformer.layers.{local}.{module}.{kind}_scaling_factor"
        return float(self._same(stage, name).reshape(-1)[expert])

    def _inside(self, layer: int, module: str, part: str) -> Any:
        import torch

        stage, local = self._place(layer)
        module, how = _MODULES[module]
        name = f"transformer.layers.{local}.{module}.{part}"
        if how == "same" or (how == "columns" and part == "bias"):
            return self._same(stage, name)
        parts = [self._read(stage, tp, name) for tp in range(self.tp)]
        if how in ("q", "k", "v", "qkv"):
            whole = torch.cat([self._heads(parts, each) for each in how])
        else:
            whole = torch.cat(parts, dim=0 if how == "rows" else 1)
        if self._fp8(name):
            whole = whole.float() * self._scale(layer, module, "weights")
        gpt = self.config["architecture"].startswith("GPT")
        return whole.T if gpt and part == "weight" else whole

    def _heads(self, parts: list[Any], which: str) -> Any:
        """Return all q, k or v of ranks' fused tensors. A head that is in several ranks must be the same in each."""
        import torch

        d, keys = self.config["head_size"], self.config["num_key_value_heads"]
        own_keys = max(1, keys // self.tp)
        sizes = [self.config["num_attention_heads"] // self.tp * d, own_keys * d, own_keys * d]
        found = [torch.split(part, sizes)["qkv".index(which)] for part in parts]
        copies = 1 if which == "q" else max(1, self.tp // keys)
        for first in range(0, self.tp, copies):
            if any(not _equal(found[first], found[first + copy]) for copy in range(1, copies)):
                raise ExportError(f"{self.folder}: ranks that share a {which} head have different ones")
        return torch.cat(found[::copies])

    def _expert(self, layer: int, expert: int, which: str) -> Any:
        import torch

        stage, local = self._place(layer)
        module = "mlp.proj" if which == "w2" else "mlp.fc"
        name = f"transformer.layers.{local}.{module}.weight"
        parts = [self._loaded(name, self._file(stage, tp).get_slice(name)[expert]) for tp in range(self.tp)]
        if which == "w2":
            whole = torch.cat(parts, dim=1)
        else:
            whole = torch.cat([part.chunk(2)[("w3", "w1").index(which)] for part in parts])
        return whole.float() * self._scale(layer, module, "weights", expert) if self._fp8(name) else whole

    def _outside(self, name: str) -> Any:
        import torch

        stage = 0 if "_embedding." in name else self.pp - 1
        if "ln_f" in name:
            return self._same(stage, name)
        if "_embedding." in name and not self.config["use_parallel_embedding"]:
            whole = self._same(stage, name)
        else:
            whole = torch.cat([self._read(stage, tp, name) for tp in range(self.tp)])
        rows = self.config["max_position_embeddings" if "position" in name else "vocab_size"]
        if whole[rows:].any():
            raise ExportError(f"{self.folder}: rows of {name} past the {rows}th are not zero")
        tied = self.config["tie_word_embeddings"] and name == "transformer.vocab_embedding.weight"
        if tied and not _equal(whole[:rows], self._outside("lm_head.weight")):
            raise ExportError(f"{self.folder}: lm_head is said to be the embedding, and is not")
        return whole[:rows]

    def _same(self, stage: int, name: str) -> Any:
        """Return what every rank of a stage must have alike."""
        first = self._read(stage, 0, name)
        for tp in range(1, self.tp):
            if not _equal(first, self._read(stage, tp, name)):
                raise ExportError(f"{self.folder}: {name} is not the same in ranks {stage * self.tp} and {tp}")
        return first

    def _place(self, layer: int) -> tuple[int, int]:
        stage = next(number for number, layers in enumerate(self._stages) if layer in layers)
        return stage, layer - self._stages[stage][0]

    def _file(self, stage: int, tp: int) -> Any:
        return self._ranks[stage * self.tp + tp]

    def _read(self, stage: int, tp: int, name: str) -> Any:
        return self._loaded(name, self._file(stage, tp).get_tensor(name))

    def _fp8(self, name: str) -> bool:
        return name.endswith(".weight") and self.config["quantization"]["quant_algo"] == "FP8"


def _equal(one: Any, other: Any) -> bool:
    import torch

    return bool(torch.equal(one.view(torch.uint8), other.view(torch.uint8)))


def _config(folder: str) -> Mapping[str, Any]:
    try:
        content = storage.read_json(storage.join(folder, "config.json"))
    except StorageError as error:
        raise ExportError(f"{folder} is no TensorRT-LLM checkpoint: {error}") from None
    if not isinstance(content, dict):
        raise ExportError(f"{folder}: config.json is no JSON object")
    return content


def _open(url: str) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(storage.local_path(url), framework="pt")
    except FileNotFoundError:
        raise ExportError(f"{url} is missing") from None
    except (SafetensorError, OSError) as error:
        raise ExportError(f"{url} is damaged: {error}") from None


def _compare(folder: str, rank: int, file: Any, wanted: Mapping[str, tuple[tuple[int, ...], str]]) -> None:
    there = {}
    for name in file.keys():  # noqa: SIM118 - a file, no mapping
        part = file.get_slice(name)
        there[name] = tuple(part.get_shape()), DTYPES.get(part.get_dtype(), part.get_dtype())
    for name in sorted(wanted.keys() | there.keys()):
        if wanted.get(name) != there.get(name):
            raise ExportError(
                f"{folder}: rank{rank}.safetensors has {there.get(name, 'nothing')} for {name}; "
                f"TensorRT-LLM's layers have {wanted.get(name, 'no such tensor')}"
            )
