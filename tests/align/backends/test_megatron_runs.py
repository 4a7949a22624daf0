"""Whole runs of methods on Megatron: two ranks that share one copy of each model."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.align import tiny
from tests.align.run.runs import configuration, data, events, lines
from tests.pretrain.mcore import ranks

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("messages", {"tensor": 2}),
    "reward_model": ("preference", {"pipeline": 2}),
    "grpo": ("prompts", {"pipeline": 2}),
    "ppo": ("prompts", {"tensor": 2}),
}


@pytest.mark.slow  # two ranks
def test_methods_run_to_their_end_on_two_ranks_of_one_copy(tmp_path):
    base = tiny.model(str(tmp_path / "base"))
    for tensor in ("tensor", "pipeline"):
        cases = []
        for method, (kind, sizes) in METHODS.items():
            if tensor not in sizes:
                continue
            (tmp_path / method).mkdir()
            rewards = {"rewards": [{"length": {"target": 4}}]} if kind == "prompts" else {}
            given = {"ranks": 2, **sizes}
            config = configuration(method, base, data(tmp_path / method, kind), parallel=given, **rewards)
            config = dataclasses.replace(config, model=dataclasses.replace(config.model, backend="megatron"))
            cases.append({"config": config.as_dict(), "folder": str(tmp_path / method / "run")})
        ranks.run(2, "tests.align.run.on_ranks:several", cases)
    for method, (kind, _) in METHODS.items():
        folder = tmp_path / method / "run"
        steps = [line for line in lines(folder) if "loss" in line]
        assert [line["step"] for line in steps] == [1, 2, 3, 4]
        assert not any(line["skipped"] for line in steps)
        assert (folder / "hf" / "model.safetensors").is_file()
        assert events(folder, "export")
        if kind == "prompts":  # engine and trainer are the same weights
            assert all(line["ratio_error"] < 1.00001 for line in steps)
