from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

from align.rollout.folder import write_weights
from pretrain.hf.folder import TensorFolder
from tests.align.rollout.tiny import llama


def test_a_folder_holds_every_weight_in_parts(tmp_path):
    weights = dict(llama().named_parameters())
    folder = tmp_path / "weights"
    assert write_weights(str(folder), weights.items(), part_bytes=20_000) == len(weights)
    assert len(list(folder.glob("*.safetensors"))) > 2
    tensors = TensorFolder(str(folder))
    assert tensors.shapes == {name: tuple(one.shape) for name, one in weights.items()}
    for name, one in weights.items():
        assert torch.equal(tensors.part(name), one)


def test_transformers_loads_it(tmp_path):
    from transformers import LlamaForCausalLM

    model = llama(seed=1)
    model.config.save_pretrained(tmp_path / "config")
    write_weights(str(tmp_path / "weights"), model.named_parameters())
    (tmp_path / "config" / "config.json").replace(tmp_path / "weights" / "config.json")
    again = LlamaForCausalLM.from_pretrained(tmp_path / "weights")
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), again.parameters()))


def test_floats_are_cast_and_views_of_one_memory_are_kept_apart(tmp_path):
    memory = torch.arange(8.0)

    def weights():
        for name in ("a", "b"):
            memory.add_(1)
            yield name, memory.view(2, 4).T
        yield "count", torch.tensor([3])

    write_weights(str(tmp_path / "w"), weights(), torch.bfloat16)
    (file,) = (tmp_path / "w").glob("*.safetensors")
    given = load_file(file)
    assert torch.equal(given["a"], (torch.arange(8.0) + 1).view(2, 4).T.bfloat16())
    assert torch.equal(given["b"], (torch.arange(8.0) + 2).view(2, 4).T.bfloat16())
    assert given["count"].dtype == torch.int64
    assert json.loads((tmp_path / "w" / "model.safetensors.index.json").read_text())["metadata"] == {"total_size": 40}


def test_weights_that_break_off_leave_the_folder_as_it_was(tmp_path):
    folder = str(tmp_path / "w")
    write_weights(folder, [("a", torch.ones(2))])

    def broken():
        yield "a", torch.zeros(2)
        raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        write_weights(folder, broken())
    assert torch.equal(TensorFolder(folder).part("a"), torch.ones(2))
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
