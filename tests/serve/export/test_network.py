"""A source as a folder that transformers opens, where it is none."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch

from serve.export import network
from serve.export.calibration import measure
from serve.export.opening import open_source

FIELDS = ("name", "family", "model", "config", "dtype", "shapes", "dtypes", "part", "copy_rest")


def test_a_source_that_is_no_folder_is_written_as_one_and_taken_away(llama, tmp_path):
    folder = open_source(llama)
    elsewhere = SimpleNamespace(**{name: getattr(folder, name) for name in FIELDS})
    with network.as_folder(elsewhere, str(tmp_path / "new")) as plain:
        assert Path(plain).parent == tmp_path / "new"
        ours, theirs = network.opened(plain, "bfloat16"), network.opened(llama, "bfloat16")
        assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
        assert measure(ours, [[1, 2, 3]]) == measure(theirs, [[1, 2, 3]])
        assert (Path(plain) / "tokenizer.json").exists()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_folder_is_taken_as_it_is(llama, tmp_path):
    with network.as_folder(open_source(llama), str(tmp_path / "out")) as plain:
        assert plain == llama
    assert Path(llama, "config.json").exists()
