"""The writers of a run, each read back by what it is written for."""

from __future__ import annotations

import json
import os
import pty
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.errors import StorageError
from millrace.progress import Progress
from pretrain.config import Config, Watch
from pretrain.errors import SettingsError
from pretrain.run.console import Console, duration
from pretrain.run.log import Event
from pretrain.run.watch import Record, open_sinks
from tests.pretrain.run.lines import step_line, validation_line

ROOT = Path(__file__).parents[3]

ATTEMPT = """
import sys, os, signal
from millrace.progress import Progress
from pretrain.config import Config, Training, Watch
from pretrain.run.watch import Record, open_sinks
from tests.pretrain.run.lines import step_line, validation_line
folder, first, last, loss, project = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
config = Config(training=Training(steps=20), watch=Watch(log_every=5, wandb=project, tensorboard=not project))
with Record(open_sinks(folder, config, config.training.steps, first - 1, Progress())) as record:
    for step in range(first, last + 1):
        record.step(step_line(step, loss=loss))
        if step % 5 == 0:
            record.validation(validation_line(step, validation_loss=loss))
            record.event("save", step, path=f"step-{step:08}")
    if last < 20:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def attempt(folder: Path, first: int, last: int, loss: float, project: str = "", python: str = sys.executable) -> str:
    """Run a part of a run of 20 steps in a process that is killed after `last` if it is not the end."""
    ran = subprocess.run(
        [python, "-c", ATTEMPT, str(folder), str(first), str(last), str(loss), project],
        cwd=ROOT, capture_output=True, text=True, env=os.environ | {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ran.returncode == (0 if last == 20 else -9), ran.stderr
    return ran.stderr


def test_tensorboards_own_reader_finds_one_curve_after_a_kill(tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    attempt(tmp_path, 1, 13, loss=4.0)
    attempt(tmp_path, 11, 20, loss=2.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["events.jsonl", "log.jsonl", "tensorboard"]
    board = reading.EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    board.Reload()
    wanted = [(step, 4.0 if step <= 10 else 2.0) for step in range(1, 21)]
    assert [(s.step, s.value) for s in board.Scalars("train/loss")] == wanted
    assert [s.step for s in board.Scalars("train/memory_bytes")] == list(range(1, 21))
    assert [(s.step, s.value) for s in board.Scalars("validation/loss")] == [w for w in wanted if w[0] % 5 == 0]
    assert [s.value for s in board.Scalars("train/mfu")] == pytest.approx([0.4] * 20)
    events = board.Tensors("events/save/text_summary")
    assert [(e.step, e.tensor_proto.string_val[0]) for e in events] == [
        (step, f"**save**  \npath: step-{step:08}".encode()) for step in (5, 10, 15, 20)
    ]


@pytest.mark.slow
def test_wandb_offline_writes_a_run_an_attempt(tmp_path):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
    attempt(tmp_path, 1, 13, loss=4.0, project="curves")
    attempt(tmp_path, 11, 20, loss=2.0, project="curves")
    runs = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert len(runs) == 2
    assert [step for step, _ in wandb_history(runs[1])] == list(range(11, 21))
    assert {loss for _, loss in wandb_history(runs[1])} == {2.0}


def wandb_history(path: Path) -> list[tuple[int, float]]:
    """Read steps and losses back by wandb's own messages out of its file: a LevelDB log after 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    content, at, message, found = path.read_bytes(), 7, b"", []
    while at < len(content):
        if (left := 32768 - at % 32768) < 7:  # the end of a block is too short for a header
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        message += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record, message = wandb_internal_pb2.Record.FromString(message), b""
            values = {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in record.history.item}
            if "train/loss" in values:
                found.append((values["step"], values["train/loss"]))
    return found


def test_wandb_that_is_not_installed_is_named_and_nothing_stays_open(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    config = Config(watch=Watch(wandb="curves"))
    with pytest.raises(SettingsError, match=r"watch\.wandb is curves, but wandb is not installed: pip install wandb"):
        open_sinks(str(tmp_path), config, 10, 0, Progress(quiet=True))


def test_an_object_store_is_refused():
    with pytest.raises(StorageError, match="local disk"):
        open_sinks("memory://runs/a", Config(), 10, 0, Progress(quiet=True))


def test_a_rank_without_sinks_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Record() as record:
        record.step(step_line(1))
        record.validation(validation_line(1))
        record.event("save", 1)
    assert list(tmp_path.iterdir()) == []


def test_sinks_are_all_closed_where_one_fails(tmp_path):
    class Failing:
        def __init__(self) -> None:
            self.closed = False

        def step(self, line):
            raise OSError("disk full")

        validation = event = step

        def close(self) -> None:
            self.closed = True
            raise OSError("still full")

    sinks = [Failing(), Failing()]
    with pytest.raises(OSError, match="still full"), Record(sinks) as record:
        record.step(step_line(1))
    assert all(sink.closed for sink in sinks)


def test_without_a_terminal_a_line_is_said_every_few_steps_and_for_all_else(capsys):
    console = Console(Progress(), steps=12, every=5)
    for step in range(1, 13):
        console.step(step_line(step, skipped=step == 7, mfu=None if step == 10 else 0.4))
    console.validation(validation_line(12))
    console.event(Event("bad_batch", 7, {"loss": 1e9, "documents": list(range(10))}))
    console.close()
    out, err = capsys.readouterr()
    assert out == ""
    said = err.splitlines()
    assert [line.split()[1] for line in said] == ["5/12", "7/12", "10/12", "12/12", "12/12", "7/12"]
    assert said[0] == (
        "step 5/12  loss 9.5238  norm 0.7  lr 3.00e-04  2,005 tokens/s  MFU 40.0 %  1.00 GB  00:00:02 left"
    )
    assert "SKIPPED" in said[1]
    assert "MFU" not in said[2]
    assert said[4] == "step 12/12  validation loss 8.0357  perplexity 3089  900 tokens  0.5 s"
    assert said[5] == "step 7/12  bad batch  loss 1e+09  documents 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_quiet_says_nothing(capsys):
    console = Console(Progress(quiet=True), steps=1, every=1)
    console.step(step_line(1))
    console.close()
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_a_bar_stands_below_the_lines():
    main, side = pty.openpty()
    code = (
        "from millrace.progress import Progress; from pretrain.run.console import Console;"
        "from tests.pretrain.run.lines import step_line; console = Console(Progress(), 8, 4, 2);"
        "[console.step(step_line(n)) for n in range(3, 9)]; console.close()"
    )
    terminal = os.environ | {"TERM": "xterm", "COLUMNS": "160"}
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=side, env=terminal, check=True)
    os.close(side)
    shown = b""
    try:
        while block := os.read(main, 65536):
            shown += block
    except OSError:  # Linux ends a pseudo-terminal so
        pass
    os.close(main)
    text = shown.decode()
    assert "step 4/8  loss" in text
    assert "step 8/8  loss" in text
    assert "━" in text
    assert "2/8" in text


@pytest.mark.parametrize(
    ("seconds", "said"), [(0, "00:00:00"), (59.6, "00:01:00"), (3725, "01:02:05"), (93784, "1 d 02:03:04")]
)
def test_durations(seconds, said):
    assert duration(seconds) == said
