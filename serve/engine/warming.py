"""A model's first steps, before anybody waits for them: they compile and load what all later ones use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from serve.engine.answers import answer
from serve.engine.cache import Blocks, Cache
from serve.engine.decoder import Decoder
from serve.engine.request import Drawing, Wanted
from serve.engine.scheduler import Scheduler
from serve.engine.sequence import Sequence
from serve.engine.settings import EngineSettings

PROMPT = 9  # tokens: a chunk
DRAWN = 2


def warm(decoder: Decoder, cache: Cache, settings: EngineSettings, scores: bool) -> None:
    """Run a chunk, single tokens of several rows, an adapter's and greedy and random draws through a model.

    Nothing of it is counted, and what it leaves in the cache is cleared before a block is used. Cost: some
    milliseconds of a small model; seconds where compiled functions are not kept yet (serve.engine.compiled).
    """
    scheduler = Scheduler(replace(settings, share_prefixes=False), Blocks(cache.blocks, cache.block_tokens))
    for number, wanted in enumerate(_wanted(decoder, cache, scores)):
        adapter = number if number < _adapters(decoder) else -1
        scheduler.waiting.append(
            Sequence(
                number, wanted, wanted.prompt, lambda told: None, adapter, [], scores, waiting_for_prompt=not scores
            )
        )
    with torch.inference_mode():
        while parts := scheduler.plan():
            cache.clear(scheduler.taken())
            for sequence, told in answer(parts, decoder, cache):
                if told.finish is not None:
                    scheduler.end(sequence)


def _adapters(decoder: Decoder) -> int:
    return min(len(decoder.adapters.names), 1) if decoder.adapters is not None else 0


def _wanted(decoder: Decoder, cache: Cache, scores: bool) -> list[Wanted]:
    """Return as much as the model's positions and its cache have room for."""
    assert decoder.weights.model.positions is not None
    room = min(decoder.weights.model.positions, cache.blocks * cache.block_tokens)
    drawn = 0 if scores else min(DRAWN, room - 1)
    prompt = np.zeros(min(PROMPT, room - drawn), np.int64)
    drawings = (Drawing(temperature=0), Drawing(top_p=0.9, top_k=5), Drawing())
    return [Wanted(prompt, drawn, one, prompt_logprobs=not scores) for one in drawings]
