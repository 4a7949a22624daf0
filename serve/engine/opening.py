"""From a model's folder to an engine that runs."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from serve.engine.adapters import Adapters
from serve.engine.cache import Cache, bytes_per_block
from serve.engine.decoder import Decoder
from serve.engine.engine import BlockEngine
from serve.engine.settings import EngineSettings
from serve.engine.warming import warm
from serve.engine.weights import DecoderWeights, read_weights
from serve.errors import ServeSettingsError
from serve.model import ModelFolder

CPU_BYTES = 1 << 30
GPU_SHARE = 0.8


def open_engine(model: ModelFolder, settings: EngineSettings | None = None,
                adapters: Mapping[str, str] | None = None) -> BlockEngine:  # fmt: skip
    """Load a model, run its first steps (serve.engine.warming), and start its engine; `close` stops it.

    adapters: name -> folder, as peft writes it. Raises ModelFolderError for a model or an adapter that cannot be run,
    ServeSettingsError for a device that is not there or a cache that is too small for one block.
    """
    settings = settings or EngineSettings()
    device = _device(settings.device)
    dtype = getattr(torch, settings.dtype or ("bfloat16" if device.type == "cuda" else "float32"))
    weights = read_weights(model, dtype, device)
    loaded = Adapters(adapters, weights) if adapters else None
    cache = Cache(weights.model, _blocks(weights, settings), settings.block_tokens, dtype, device)
    decoder = Decoder(weights, loaded)
    warm(decoder, cache, settings, model.kind == "reward")
    return BlockEngine(decoder, cache, settings, model.name, model.kind)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        raise ServeSettingsError(f"device is {name!r}; known: cpu, cuda, cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise ServeSettingsError(f"device is {name!r}; known: cpu, cuda, cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ServeSettingsError(f"device is {name!r}; this machine has {torch.cuda.device_count()} CUDA devices")
    return device


def _blocks(weights: DecoderWeights, settings: EngineSettings) -> int:
    """Return the blocks of the cache: no more than max_batch sequences of all positions could hold."""
    if settings.blocks:
        return settings.blocks
    each = bytes_per_block(weights.model, settings.block_tokens, weights.dtype)
    room = settings.cache_bytes or CPU_BYTES
    if not settings.cache_bytes and weights.device.type == "cuda":
        room = int(torch.cuda.mem_get_info(weights.device)[0] * GPU_SHARE)
    if room < each:
        raise ServeSettingsError(f"cache_bytes is {room}; a block of {settings.block_tokens} tokens takes {each}")
    assert weights.model.positions is not None
    of_use = settings.max_batch * -(-weights.model.positions // settings.block_tokens)
    return min(room // each, of_use)
