from __future__ import annotations

import pytest
import torch

from align.errors import RolloutError
from align.rollout.written import _region, places
from tests.align.rollout.tiny import llama


def test_places_are_the_models_own_memory_under_all_names_of_a_tied_weight():
    model = llama(tie_word_embeddings=True)
    found = places(model)
    assert set(found) == set(model.state_dict())
    found["lm_head.weight"].fill_(3)
    assert (model.model.embed_tokens.weight == 3).all()
    assert not any(tensor.requires_grad for tensor in found.values())


def test_regions_are_found_by_the_numbers_of_their_cells():
    tensor = torch.arange(24.0).view(2, 3, 4)
    cells = torch.arange(24).view(2, 3, 4)
    for part in (lambda x: x[1], lambda x: x[:, 1:, ::2], lambda x: x.transpose(0, 2)[1:3], lambda x: x[:1, :1, 2:3]):
        view = _region(tensor, part(cells).clone(), "part")
        assert torch.equal(view, part(tensor))
        assert view.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
    with pytest.raises(RolloutError, match=r"mixed is no regular part of a tensor \(2, 3, 4\)"):
        _region(tensor, cells[0, 0, [0, 2, 3]], "mixed")
