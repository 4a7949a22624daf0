"""The log of a run: lines outlive kills, and each step has one."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.errors import StorageError
from pretrain.errors import TrainingError
from pretrain.run.log import Event, LogFiles, append_event, kept_bytes
from tests.pretrain.run.lines import step_line, validation_line

ROOT = Path(__file__).parents[3]


def write(folder: Path, steps: range, restored: int = 0, **changed) -> None:
    log = LogFiles(str(folder), restored)
    for step in steps:
        log.step(step_line(step, **changed))
        if step % 3 == 0:
            log.validation(validation_line(step))
    log.close()


def lines(folder: Path, name: str = "log.jsonl") -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def written(tmp_path_factory, steps: range) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("written")
    write(folder, steps)
    return folder, (folder / "log.jsonl").read_bytes()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> bytes:
    return written(tmp_path_factory, range(1, 11))[1]


@settings(max_examples=60)
@given(data=st.data())
def test_killed_at_any_byte_and_restored_at_any_step_the_log_ends_as_if_never_killed(unbroken, tmp_path_factory, data):
    """The first attempt's lines say another loss, so a line that is not rewritten is known."""
    folder = tmp_path_factory.mktemp("killed")
    write(folder, range(1, 11), loss=1.0)
    log = folder / "log.jsonl"
    torn = log.read_bytes()[: data.draw(st.integers(0, log.stat().st_size))]
    log.write_bytes(torn)
    reached = max((json.loads(line)["step"] for line in torn.split(b"\n")[:-1]), default=0)
    restored = data.draw(st.integers(0, reached))
    write(folder, range(restored + 1, 11), restored)
    now = lines(folder)
    steps = [line for line in now if "loss" in line]
    assert [line["step"] for line in steps] == list(range(1, 11))
    assert all((line["loss"] == 1.0) == (line["step"] <= restored) for line in steps)
    wanted = [json.loads(line) for line in unbroken.splitlines()]
    after = [line for line in wanted if line["step"] > restored]
    assert now[len(now) - len(after) :] == after


@settings(max_examples=40)
@given(
    content=st.lists(st.sampled_from([b"\n", b"ab", b"x" * 9])).map(b"".join),
    kept=st.none() | st.integers(0, 5),
)
def test_appending_keeps_whole_lines_and_adds(tmp_path_factory, content, kept):
    from millrace import storage

    path = tmp_path_factory.mktemp("appended") / "log"
    path.write_bytes(content)
    with storage.appending(str(path), kept and min(kept, len(content))) as stream:
        stream.write(b"new\n")
        stream.flush()
        assert path.read_bytes().endswith(b"new\n")
    whole = content[: content.rfind(b"\n") + 1] if kept is None else content[:kept]
    assert path.read_bytes() == whole + b"new\n"


def test_the_end_of_the_last_whole_line_is_found_across_blocks(tmp_path):
    from millrace import storage

    path = tmp_path / "log"
    path.write_bytes(b"first\n" + b"x" * 200_000)
    with storage.appending(str(path)) as stream:
        stream.write(b"new\n")
    assert path.read_bytes() == b"first\nnew\n"


def test_every_line_is_in_the_file_when_the_process_is_killed(tmp_path):
    code = (
        "import os, signal, sys; from pretrain.run.log import LogFiles;"
        "from tests.pretrain.run.lines import step_line; log = LogFiles(sys.argv[1]);"
        "[log.step(step_line(n)) for n in range(1, 6)]; os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4, 5]


def test_numbers_that_are_not_finite_are_null_and_the_rest_is_kept_exactly(tmp_path):
    log = LogFiles(str(tmp_path))
    given = step_line(1, loss=math.nan, grad_norm=math.inf, lr=1 / 3, skipped=True, mfu=None)
    log.step(given)
    log.validation(validation_line(1, validation_loss=1000.0))
    log.close()
    step, validation = lines(tmp_path)
    assert (step["loss"], step["grad_norm"], step["mfu"]) == (None, None, None)
    assert (step["lr"], step["skipped"], step["tokens"]) == (1 / 3, True, 500)
    assert (validation["validation_loss"], validation["perplexity"]) == (1000.0, None)


def test_perplexity_is_that_of_a_uniform_choice():
    assert validation_line(1, validation_loss=math.log(512)).perplexity == pytest.approx(512, rel=1e-12)


def test_events_of_all_attempts_stay_and_a_torn_one_is_mended(tmp_path):
    append_event(str(tmp_path), Event("save", 10, {"path": "step-00000010", "seconds_blocked": 0.1}, 100.0))
    with (tmp_path / "events.jsonl").open("a") as stream:
        stream.write('{"time": 1')
    log = LogFiles(str(tmp_path), 10)
    log.event(Event("restore", 10, {"documents": [1 << 40, "urn:uuid:1"]}, 200.0))
    log.close()
    append_event(str(tmp_path), Event("restart", 10, {}, 300.0))
    assert lines(tmp_path, "events.jsonl") == [
        {"time": 100.0, "kind": "save", "step": 10, "path": "step-00000010", "seconds_blocked": 0.1},
        {"time": 200.0, "kind": "restore", "step": 10, "documents": [1 << 40, "urn:uuid:1"]},
        {"time": 300.0, "kind": "restart", "step": 10},
    ]


def test_an_event_that_does_not_exist_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"no event is called bad_bach\. Did you mean bad_batch\?"):
        Event("bad_bach", 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="may not be called step"):
        Event("save", 1, {"step": 2})


def test_an_object_store_is_refused_in_one_line():
    with pytest.raises(StorageError, match=r"cannot append to memory://runs/a/log\.jsonl.*local disk"):
        LogFiles("memory://runs/a")


@pytest.mark.parametrize("content", [b"hello\n", b"[1]\n", b'{"loss": 1.0}\n', b'{"step": null}\n'])
def test_a_file_that_is_no_log_is_refused_and_left_as_it_is(tmp_path, content):
    (tmp_path / "log.jsonl").write_bytes(content)
    with pytest.raises(TrainingError, match=r"log\.jsonl is not the log of a training run"):
        LogFiles(str(tmp_path))
    assert (tmp_path / "log.jsonl").read_bytes() == content


def test_a_log_that_ends_before_the_restored_step_is_kept_whole(unbroken):
    assert kept_bytes(unbroken, 99) == len(unbroken)
    assert kept_bytes(unbroken, 0) == 0
