"""Models of transformers in Megatron and back: the same logits, loss, weights, tokens."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from pretrain.errors import CheckpointError
from pretrain.hf.dist_checkpoint import DistCheckpoint, export_checkpoint
from pretrain.hf.folder import TensorFolder
from pretrain.hf.tables import table
from pretrain.hf.weights import Weights
from tests.pretrain.hf import cases
from tests.pretrain.hf.models import LENGTH, MODELS, VOCABULARY
from tests.pretrain.mcore import ranks


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("hf")


@pytest.fixture(scope="module")
def alone(place) -> dict[str, Any]:
    return ranks.run(1, "tests.pretrain.hf.cases:alone", str(place))[0]


@pytest.fixture(scope="module")
def exported(place, alone) -> Path:
    """Export the checkpoints of one process, in this one: without Megatron, without a process group."""
    for number, (_, _, model) in enumerate(MODELS.values()):
        folder = str(place / f"exported-{number}")
        export_checkpoint(str(place / f"stacked-{number}"), model, folder, cases.tokenizer(), shard_bytes=100_000)
    return place


@pytest.fixture(scope="module")
def loaded(exported) -> dict[str, Any]:
    return ranks.run(1, "tests.pretrain.hf.cases:loaded", str(exported))[0]


@pytest.fixture(scope="module")
def spread(place, alone) -> Path:
    ranks.run(2, "tests.pretrain.hf.cases:spread", str(place))
    return place


@pytest.mark.parametrize("name", MODELS)
def test_imported_models_compute_what_transformers_does(alone, name):
    found = alone[name]
    assert found["logits"] < 1e-5
    assert found["loss"] < 1e-5  # over the real vocabulary: 12 rows are padding
    assert found["fresh"] > 1  # before the import


@pytest.mark.parametrize("name", MODELS)
def test_exported_folders_load_in_transformers(loaded, name):
    found = loaded[name]
    assert found["said"] == []
    assert found["keys"] == {}
    assert found["logits"] < 1e-5
    assert found["ids"][0] == found["ids"][1]
    # transformers gives a qwen2 folder Qwen's own pre-tokenizer, whatever its tokenizer.json says
    assert (found["auto"] == found["ids"][1]) == (MODELS[name][0] != "qwen2")
    assert found["text"] == cases.TEXT
    assert found["ends"] == [cases.tokenizer().end_of_document] * 3


def tensors(folder: str) -> dict[str, torch.Tensor]:
    read = TensorFolder(folder)
    return {name: read.part(name, *((0, n) for n in shape)) for name, shape in read.shapes.items()}


@pytest.mark.parametrize("number", range(len(MODELS)))
def test_layers_stacked_in_a_checkpoint_come_back_bit_by_bit(exported, number):
    """Megatron's own default stacks layers; export gives the tensors transformers saved."""
    original = tensors(str(exported / "original" / list(MODELS)[number]))
    exported = tensors(str(exported / f"exported-{number}"))
    assert exported.keys() == original.keys()
    assert all(torch.equal(exported[name], original[name]) for name in original)


@pytest.mark.slow  # two ranks
@pytest.mark.parametrize("number", range(len(cases.SPLITS)))
def test_ranks_fill_their_own_parts(spread, number):
    """Two ranks under tensor, pipeline or expert parallelism hold together what the folder has, padding included."""
    name, _ = list(cases.SPLITS.values())[number]
    family, _, model = MODELS[name]
    checkpoint = DistCheckpoint(str(spread / f"split-{number}"))
    weights = Weights(str(spread / "original" / name), model)
    checkpoint.check(model)
    for matrix in table(model, family):
        whole = checkpoint.read(matrix.box)
        assert torch.equal(whole, weights.read(matrix.box)), matrix.key
        if "word_embeddings" in matrix.key:
            assert whole.shape[0] == 512
            assert not whole[VOCABULARY:].any()


@pytest.mark.slow  # two ranks
def test_parts_of_a_checkpoint_are_read_wherever_ranks_cut_it(spread):
    name, _ = cases.SPLITS["tensor"]
    checkpoint = DistCheckpoint(str(spread / "split-0"))
    matrix = next(m for m in table(MODELS[name][2], "llama") if m.key.endswith("fc1.weight"))
    whole = checkpoint.read(matrix.box)
    for low, high in ((0, 1), (40, 56), (90, 150), (0, 192)):
        box = type(matrix.box)(matrix.key, (low, 3), (high - low, 20))
        assert torch.equal(checkpoint.read(box), whole[low:high, 3:23])


@pytest.mark.slow  # two ranks
def test_another_models_checkpoint_is_refused(spread, tmp_path):
    name, _ = cases.SPLITS["tensor"]
    model, folder = MODELS[name][2], str(spread / "split-0")
    for change, said in (
        ({"layers": 3}, r"has no decoder\.layers\.2\."),
        ({"layers": 1}, r"has decoder\.layers\.1\..*, which the model has not"),
        ({"ffn_size": 64}, r"is saved as \(192, 64\)"),
        ({"bias": False, "qkv_bias": False}, r"bias, which the model has not"),
        ({"positions": LENGTH, "vocab_size": 513}, r"is saved as \(512, 64\)"),
    ):
        with pytest.raises(CheckpointError, match=said):
            export_checkpoint(folder, dataclasses.replace(model, **change), str(tmp_path / "out"), None)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"no \.metadata"):
        DistCheckpoint(str(tmp_path))
    (tmp_path / ".metadata").write_bytes(b"\x80\x04half")
    with pytest.raises(CheckpointError, match="damaged"):
        DistCheckpoint(str(tmp_path))
