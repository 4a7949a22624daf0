"""What an alignment run came to, for a terminal."""

from __future__ import annotations

import pytest

from align.report.summary import summary
from pretrain.errors import TrainingError
from tests.align.report.made import made_run


def test_the_lines_are_those_of_the_log(tmp_path):
    folder = made_run(tmp_path / "run", 40)
    (folder / "hf").mkdir()
    assert summary(str(folder)).splitlines() == [
        "steps      40, 20,000 tokens learnt, 250 a second",
        "loss       0.0125 in the last step, 1 skipped",
        "reward     0.4792 over the first tenth of the steps, 0.974 over the last",
        "KL         0.025 over the first tenth of the steps, 0.385 over the last",
        "length     30 over the first tenth of the steps, 30 over the last",
        "validation reward 0.9812, length 30",
        f"model      {folder / 'hf'}",
    ]


def test_a_run_without_a_step_and_a_folder_without_a_run(tmp_path):
    assert summary(str(made_run(tmp_path / "run", 0))) == "no step is done"
    with pytest.raises(TrainingError, match="holds no alignment run"):
        summary(str(tmp_path))
