"""Lines of alignment in the log, on the console and on boards that pretraining has."""

from __future__ import annotations

import json

import pytest

from align.config import Config
from align.run.log import AlignLine, AlignValidation
from millrace.progress import Progress
from pretrain.config import Watch
from pretrain.run.watch import Record, open_sinks

LINE = AlignLine(3, 900, {"loss": 0.5, "reward": 0.25, "kl": 0.0125, "odd": 7.0}, 2.0, 150.0, 2 * 10**9)


def test_metrics_stand_beside_the_rest_in_the_file_and_on_boards():
    assert LINE.values() == {
        "step": 3, "tokens": 900, "loss": 0.5, "reward": 0.25, "kl": 0.0125, "odd": 7.0, "seconds": 2.0,
        "tokens_per_second": 150.0, "memory_bytes": 2 * 10**9, "skipped": False,
    }  # fmt: skip
    assert LINE.curves()["train/odd"] == 7.0
    assert "train/step" not in LINE.curves()
    assert AlignValidation(3, {"reward": 1.0}, 2.0).curves() == {"validation/reward": 1.0}


def test_the_console_says_what_matters():
    assert LINE.text() == "loss 0.5  reward 0.25  kl 0.0125  150 tokens/s  2.00 GB"
    assert AlignLine(1, 1, {"loss": float("nan")}, 1.0, 1.0, 0, True).text().startswith("SKIPPED  loss nan")
    assert AlignValidation(3, {"accuracy": 0.875, "odd": 1.0}, 2.0).text() == "accuracy 0.875"


def test_a_run_is_written_down_by_every_sink_and_cut_where_it_goes_on(tmp_path, capsys):
    event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    config = Config("grpo", watch=Watch(log_every=2))

    def write(restored: int, last: int) -> None:
        with Record(open_sinks(str(tmp_path), config, 4, restored, Progress())) as record:
            for step in range(restored + 1, last + 1):
                record.step(AlignLine(step, 10 * step, {"loss": 1.0 / step, "reward": float("nan")}, 1.0, 10.0, 10**9))
                record.validation(AlignValidation(step, {"reward": 0.5}, 1.0))
            record.event("save", last, path="here")

    write(0, 3)
    write(2, 4)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "tokens" in line] == [1, 2, 3, 4]
    assert lines[0]["reward"] is None
    assert lines[1] == {"step": 1, "validation/reward": 0.5, "validation_seconds": 1.0}
    read = event_accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    assert [(one.step, one.value) for one in read.Scalars("train/loss")] == [
        (1, 1.0),
        (2, 0.5),
        (3, pytest.approx(1 / 3)),
        (4, 0.25),
    ]
    assert [one.step for one in read.Scalars("validation/reward")] == [1, 2, 3, 4]
    said = capsys.readouterr().err
    assert "step 2/4  loss 0.5  reward nan" in said
    assert "step 3/4  validation reward 0.5  1.0 s" in said
