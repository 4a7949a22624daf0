"""Each patch is still needed: without it something fails, or computes something else."""

from __future__ import annotations

import pytest

from tests.pretrain.mcore import ranks

# What fails without a piece, and under which parallel sizes. Without `compiling` all works, only minutes later.
WITHOUT = {
    "device": ({}, "Torch not compiled with CUDA enabled"),
    "random": ({}, "Torch not compiled with CUDA enabled"),
    "literals": ({}, "must be cuda device"),
    "type_names": ({}, "must be one of torch.cuda.FloatTensor"),
    "streams": ({}, "torch.cuda.Stream requires CUDA support"),
    "splits": ({"expert": 2}, "split"),
}


@pytest.mark.slow
@pytest.mark.parametrize("piece", WITHOUT)
def test_each_piece_of_the_shim_is_needed(piece):
    sizes, said = WITHOUT[piece]
    world = sizes.get("expert", 1)
    for fault in ranks.run(world, "tests.pretrain.mcore.shimless:without", piece, sizes):
        assert said in fault


def test_every_piece_is_tried():
    pytest.importorskip("torch")
    from pretrain.mcore import cpu_shim

    assert {*WITHOUT, "compiling"} == set(cpu_shim.PIECES)


def test_the_shim_is_refused_where_cuda_is(monkeypatch):
    torch = pytest.importorskip("torch")
    from pretrain.mcore import cpu_shim

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(RuntimeError, match="not for machines with CUDA"):
        cpu_shim.install()


@pytest.mark.slow
def test_transformers_loads_a_model_aright_beside_the_shim(tmp_path):
    pytest.importorskip("transformers")
    made, opened = ranks.run(1, "tests.pretrain.mcore.shimless:beside_transformers", str(tmp_path))[0]
    assert opened == pytest.approx(made, abs=1e-6)


def test_without_the_fix_of_the_router_a_mixture_of_experts_fails():
    (said,) = ranks.run(1, "tests.pretrain.mcore.shimless:router_unfixed")
    assert "te_general_gemm" in said
