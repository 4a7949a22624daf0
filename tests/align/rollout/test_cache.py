from __future__ import annotations

import itertools

import torch
from transformers.cache_utils import DynamicLayer

from align.rollout.cache import ROOM, RoomyLayer, bytes_per_token, empty_cache
from tests.align.rollout.tiny import gpt2, llama, mistral


def test_a_roomy_layer_is_a_dynamic_layer_that_copies_less():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = RoomyLayer(), DynamicLayer()
    rows = 5
    places = [0]
    for step in range(2 * ROOM):
        if step in (3, ROOM + 1):
            kept = torch.tensor([2, 0, 0, 4][: 4 if step == 3 else 2]) % rows
            ours.reorder_cache(kept)
            theirs.reorder_cache(kept)
            rows = len(kept)
        given = [torch.randn(rows, 2, 7 if step == 0 else 1, 4, generator=generator) for _ in range(2)]
        for mine, other in zip(ours.update(*given), theirs.update(*given)):
            assert torch.equal(mine, other)
        assert ours.get_seq_length() == theirs.get_seq_length()
        assert ours.get_mask_sizes(1) == theirs.get_mask_sizes(1)
        places.append(ours.keys.untyped_storage().data_ptr())
    moved = sum(one != two for one, two in itertools.pairwise(places))
    assert moved <= 4  # made, two selections, and one growth


def test_layers_with_a_window_keep_their_own_kind():
    assert {type(layer) for layer in empty_cache(llama().config).layers} == {RoomyLayer}
    assert {type(layer).__name__ for layer in empty_cache(mistral().config).layers} == {"DynamicSlidingWindowLayer"}


def test_bytes_of_a_token_are_what_the_cache_holds():
    for model in (llama(), gpt2()):
        cache = empty_cache(model.config)
        with torch.no_grad():
            model(torch.ones(1, 3, dtype=torch.long), cache=cache, use_cache=True)
        held = sum(one.numel() * one.element_size() for layer in cache.layers for one in (layer.keys, layer.values))
        assert held == 3 * bytes_per_token(model.config, torch.float32)
