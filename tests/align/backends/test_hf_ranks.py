"""Policies on two real ranks (gloo, FSDP2) against one process that takes all micro-batches."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.align.backends import ranked, tiny
from tests.pretrain.mcore.ranks import run

CASES: dict[str, dict[str, Any]] = {
    "all weights": {"family": "llama", "resume": True, "export": True},
    "tied embeddings, recomputed": {"family": "qwen2", "settings": {"recompute": True}, "export": True},
    "three micro-batches and a filler": {"family": "gpt2", "micro_batches": 3},
    "lora": {"family": "llama", "peft": {"kind": "lora", "rank": 4}, "resume": True, "export": True},
    "lora of half precision": {"family": "llama", "peft": {"kind": "lora"}, "settings": {"precision": "bf16"}},
    "ia3": {"family": "gpt2", "peft": {"kind": "ia3"}, "export": True},
    "p-tuning": {"family": "llama", "peft": {"kind": "p_tuning", "tokens": 3}, "export": True},
    "bottlenecks": {"family": "gpt2", "peft": {"kind": "adapter", "width": 8}, "export": True},
    "value head": {"family": "llama", "settings": {"head": "value"}},
    "reward head": {"family": "gpt2", "settings": {"head": "reward", "outputs": 3}, "export": True},
    "half precision": {"family": "llama", "settings": {"precision": "bf16"}, "resume": True},
}
if find_spec("bitsandbytes"):
    CASES["a base of four bits, whole on each rank"] = {"family": "llama", "peft": {"kind": "qlora", "rank": 4}}


pytestmark = pytest.mark.slow  # two processes, sixteen cases


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two ranks and one came to, in every case."""
    root = tmp_path_factory.mktemp("ranks")
    folders = {family: tiny.make(root / family, family) for family in ("llama", "qwen2", "gpt2")}
    cases = [{**case, "folder": folders[case["family"]]} for case in CASES.values()]
    two, one = root / "two", root / "one"
    two.mkdir()
    one.mkdir()
    told, lone = zip(*run(2, "tests.align.backends.ranked:both", cases, str(two)), strict=True)
    alone = json.loads(json.dumps(ranked.train(cases, str(one))))
    return {"folders": folders, "two": two, "one": one, "told": told, "alone": alone, "lone": lone}


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_come_to_what_one_does(runs, name):
    number = list(CASES).index(name)
    assert runs["told"][0][number] == runs["told"][1][number], "ranks were told different numbers"
    half = "half" in name
    for two, one in zip(runs["told"][0][number], runs["alone"][number], strict=True):
        assert two == pytest.approx(one, rel=3e-2 if half else 1e-5, abs=3e-2 if half else 1e-6)
    there, here = (load_file(runs[side] / f"{number}.safetensors") for side in ("two", "one"))
    assert there.keys() == here.keys()
    for name, value in here.items():
        torch.testing.assert_close(there[name], value, rtol=0, atol=3e-2 if half else 1e-6)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.get("export")])
def test_two_ranks_export_what_one_does(runs, name):
    number = list(CASES).index(name)
    there, here = (Path(runs[side], f"{number}-export") for side in ("two", "one"))
    files = sorted(str(path.relative_to(here)) for path in here.rglob("*") if path.is_file())
    assert files == sorted(str(path.relative_to(there)) for path in there.rglob("*") if path.is_file())
    for file in files:
        if file.endswith(".safetensors"):
            torch.testing.assert_close(load_file(there / file), load_file(here / file), rtol=0, atol=1e-5)
        else:
            assert (there / file).read_bytes() == (here / file).read_bytes()


def test_ranks_of_a_policy_may_be_few_and_must_be_as_many_as_saved_it(runs):
    first, second = runs["lone"]
    assert first == second
    assert first[1] == f"{runs['two'] / '0'} was saved with ranks 2; this run has 1"
