"""LoRA adapters beside one base: tokens of several adapters, and of none, in the same pass (Hu et al. 2021).

All adapters of a layer lie in one pair of matrices, their ranks one after another. A token's product with the first
is multiplied by 1 at the ranks of its own adapter and by 0 at all others, so two multiplications serve a whole pass,
whoever is in it (the idea of S-LoRA's batching, arXiv:2311.03285, for adapters that fit into memory together).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from millrace import storage
from millrace.config import did_you_mean
from millrace.errors import StorageError
from pretrain.hf.rows import Matrix
from serve.engine.linear import Linear, linear
from serve.engine.weights import DecoderWeights
from serve.errors import ModelFolderError

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
NAME = re.compile(r"^base_model\.model\.(?P<layer>.+)\.lora_(?P<side>[AB])\.weight$")
# Fields of adapter_config.json that change what is computed, in ways this module does not: (what they may be).
ONLY: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",), "use_dora": (False, None), "bias": ("none", None), "lora_bias": (False, None),
    "rank_pattern": ({}, None), "alpha_pattern": ({}, None), "modules_to_save": ([], None),
    "layer_replication": ([], None), "use_qalora": (False, None), "trainable_token_indices": (None,),
    "target_parameters": ([], None), "alora_invocation_tokens": (None,), "arrow_config": (None,),
}  # fmt: skip
Pair = tuple[Tensor, Tensor]  # A (rank, in), B (out, rank), B scaled


class Adapters:
    """The adapters of an engine. They are numbered in the order of their names."""

    def __init__(self, folders: Mapping[str, str], weights: DecoderWeights):
        """Read adapters, name -> folder. Raises ModelFolderError for another base, other shapes, other kinds."""
        self.names, self._dtype = tuple(folders), weights.dtype
        known = _layers(weights.matrices)
        pairs = [_read(folders[name], known) for name in self.names]
        self._owner: dict[str, tuple[int, ...]] = {}  # key -> number of the adapter, of each rank
        self._ranks: dict[tuple[int, ...], Tensor] = {}  # the same on the device: most layers have the same ones
        self._a: dict[str, Linear] = {}  # (ranks, in)
        self._b: dict[str, Linear] = {}  # (out, ranks)
        for key, matrix in weights.matrices.items():
            self._join(key.removesuffix("weight"), matrix, pairs, weights)

    def _join(self, key: str, matrix: Matrix, pairs: list[dict[str, Pair]], weights: DecoderWeights) -> None:
        found = [
            (number, name, *pair[_module(name)])
            for number, pair in enumerate(pairs)
            for name in matrix.sources()
            if _module(name) in pair
        ]
        if not found:
            return
        ranks = [len(a) for _, _, a, _ in found]
        tall = _Tall({name: _rows(matrix, name) for name in matrix.sources()}, sum(ranks))
        at = 0
        for (_, name, _, b), rank in zip(found, ranks):
            tall.whole[name][:, at : at + rank] = b
            at += rank
        flat = dataclasses.replace(matrix, columns=sum(ranks), transposed=False)
        to = {"device": weights.device, "dtype": weights.dtype}
        self._b[key] = linear("", flat.join(tall, (0, 0), flat.shape).to(**to).contiguous())
        self._a[key] = linear("", torch.cat([a for _, _, a, _ in found]).to(**to).contiguous())
        owners = tuple(number for (number, *_), rank in zip(found, ranks) for _ in range(rank))
        self._owner[key] = owners
        if owners not in self._ranks:
            self._ranks[owners] = torch.tensor(owners, device=weights.device)

    def masks(self, adapters: Tensor) -> dict[str, Tensor]:
        """Return, for each layer with adapters, (t, ranks): whether a rank is of the token's own adapter (t,)."""
        made = {owners: (ranks == adapters[:, None]).to(self._dtype) for owners, ranks in self._ranks.items()}
        return {key: made[owners] for key, owners in self._owner.items()}

    def apply(self, masks: Mapping[str, Tensor], layer: Linear, x: Tensor) -> Tensor:
        """Return what a layer with adapters makes of x (t, in): (t, out)."""
        if layer.key not in self._a:
            return layer(x)
        return layer(x) + self._b[layer.key](self._a[layer.key](x) * masks[layer.key])


class _Tall:
    """B of all adapters by the names of the folder's tensors, as Matrix.join reads tensors."""

    def __init__(self, rows: Mapping[str, int], ranks: int):
        self.whole = {name: torch.zeros(count, ranks) for name, count in rows.items()}

    def part(self, name: str, *bounds: tuple[int, int]) -> Tensor:
        return self.whole[name][tuple(slice(*each) for each in bounds)]


def _rows(matrix: Matrix, name: str) -> int:
    return max(run.stop for run in matrix.runs if run.name == name)


def _module(name: str) -> str:
    return name.removesuffix(".weight")


def _layers(matrices: Mapping[str, Matrix]) -> dict[str, tuple[int, int]]:
    """Return the linear layers an adapter may change, by their names in folders: (out, in)."""
    return {
        _module(name): (_rows(matrix, name), matrix.columns)
        for key, matrix in matrices.items()
        if matrix.columns is not None and ".layers." in key and "router" not in key
        for name in matrix.sources()
    }


def _read(folder: str, known: Mapping[str, tuple[int, int]]) -> dict[str, Pair]:
    """Return A and scaled B of each layer of an adapter's folder, in float32 on the CPU."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    config = _config(folder)
    rank, scale = _scale(folder, config)
    try:
        tensors = load(storage.read_bytes(storage.join(folder, WEIGHTS)))
    except (SafetensorError, StorageError) as error:
        raise ModelFolderError(f"{storage.join(folder, WEIGHTS)}: {error}") from None
    sides: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        found = NAME.match(name)
        if found is None:
            raise ModelFolderError(f"{folder}: {name} is no LoRA matrix of a linear layer; none other can be served")
        if found["layer"] not in known:
            raise ModelFolderError(
                f"{folder} changes {found['layer']}, which is no layer of the base that adapters can change: it is of "
                f"another model.{did_you_mean(found['layer'], known)}"
            )
        sides.setdefault(found["layer"], {})[found["side"]] = tensor.float()
    if not sides:
        raise ModelFolderError(f"{folder} holds no LoRA matrices")
    return {layer: _pair(folder, layer, both, known[layer], rank, scale) for layer, both in sides.items()}


def _config(folder: str) -> dict[str, Any]:
    url = storage.join(folder, CONFIG)
    if not storage.exists(url):
        there = ", ".join(storage.list_folder(folder)) if storage.exists(folder) else ""
        raise ModelFolderError(f"{folder} is no adapter: it has no {CONFIG}, but holds {there or 'nothing'}")
    try:
        config = storage.read_json(url)
    except StorageError as error:
        raise ModelFolderError(str(error)) from None
    if not isinstance(config, dict):
        raise ModelFolderError(f"{url} is no JSON object")
    for name, allowed in ONLY.items():
        if name in config and config[name] not in allowed:
            raise ModelFolderError(f"{url}: {name} is {config[name]!r}; adapters are served with {allowed[0]!r} only")
    return config


def _scale(folder: str, config: Mapping[str, Any]) -> tuple[int, float]:
    """Return the rank, and what B A is multiplied by."""
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise ModelFolderError(f"{folder}/{CONFIG}: r is {rank!r} and lora_alpha {alpha!r}; both must be numbers")
    return rank, float(alpha) / (rank**0.5 if config.get("use_rslora") else rank)


def _pair(folder: str, layer: str, both: Mapping[str, Tensor], shape: tuple[int, int], rank: int,
          scale: float) -> Pair:  # fmt: skip
    if set(both) != {"A", "B"}:
        raise ModelFolderError(f"{folder}: {layer} has lora_{next(iter(both))} only")
    a, b = both["A"], both["B"]
    if tuple(a.shape) != (rank, shape[1]) or tuple(b.shape) != (shape[0], rank):
        raise ModelFolderError(
            f"{folder}: {layer} has A {tuple(a.shape)} and B {tuple(b.shape)}; the base's layer is {shape} "
            f"(out, in), which with r {rank} needs ({rank}, {shape[1]}) and ({shape[0]}, {rank})"
        )
    return a, b * scale
