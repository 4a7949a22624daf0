"""Children that are killed, that outlive nobody, and that never block."""

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from curator.extract import child
from curator.extract.html import ExtractHtml
from curator.extract.sandbox import Sandbox

PARAGRAPH = "It was the best of times, it was the worst of times, it was the age of wisdom. "
PAGE = f"<html><body><article><p>{PARAGRAPH * 8}</p></article></body></html>".encode()
SLOW = ("<html><body>" + "".join(f'<div><a href="{n}">l</a>' * 3 for n in range(20000))).encode()
TICKS = os.sysconf("SC_CLK_TCK")


def _settings(**changes: object) -> str:
    return json.dumps(dataclasses.asdict(ExtractHtml("resiliparse", **changes)))  # type: ignore[arg-type]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(_settings())
    yield made
    made.close()


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICKS
    return 0.0


def _children() -> set[int]:
    """The extraction processes that this process has started."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"curator.extract.child" in (folder / "cmdline").read_bytes():
                found.add(int(folder.name))
    return found


def _ends(pid: int) -> bool:
    """Wait until a process, which need not be ours, is gone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 20)[0])
    finally:
        os.close(handle)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_a_page_whose_child_died_is_tried_again_and_succeeds(sandbox: Sandbox, how: signal.Signals) -> None:
    expected = sandbox.extract([PAGE] * 5)
    before = sandbox.child().process
    before.send_signal(how)
    before.wait()
    assert sandbox.extract([PAGE] * 5) == expected
    assert sandbox.child().process.pid != before.pid


def test_a_child_killed_in_the_middle_costs_no_page(sandbox: Sandbox) -> None:
    pages = [PAGE.replace(b"wisdom", b"wisdom %d" % n) * 20 for n in range(400)]
    pid = sandbox.child().process.pid
    start = _cpu_seconds(pid)

    def kill() -> None:
        while _cpu_seconds(pid) < start + 5 / TICKS:
            pass
        os.kill(pid, signal.SIGSEGV)

    killer = threading.Thread(target=kill)
    killer.start()
    answers = sandbox.extract(pages)
    killer.join()
    assert sandbox.child().process.pid != pid
    assert all(b"wisdom %d." % n in answer.text for n, answer in enumerate(answers))


def test_a_page_whose_child_dies_twice_is_dropped(sandbox: Sandbox) -> None:
    others = _children()
    sandbox.child()
    killed: set[int] = set()

    def kill() -> None:
        while len(killed) < 2:
            for pid in _children() - others - killed:
                if _cpu_seconds(pid) > 1:  # it has started, and is busy with the page
                    killed.add(pid)
                    os.kill(pid, signal.SIGSEGV)

    killer = threading.Thread(target=kill)
    killer.start()
    answers = sandbox.extract([PAGE, SLOW, PAGE])
    killer.join()
    assert [answer.status for answer in answers] == ["ok", "crashed", "ok"]
    assert answers[1].detail == "SIGSEGV"


def test_an_exception_of_the_engine_is_reported_with_its_text() -> None:
    def fails(page: str) -> str:
        raise KeyError(page)

    assert child._answer(fails, b"href", 1 << 60) == (child.ERROR, "KeyError: 'href'")


def test_full_pipes_in_both_directions_do_not_block(sandbox: Sandbox) -> None:
    text = PARAGRAPH.encode() * 5000  # 400 kB in, 400 kB out, through pipes of 64 kB
    page = b"<html><body><main><p>" + text + b"</p></main></body></html>"
    answers = sandbox.extract([page] * 40)
    assert all(len(answer.text) > 300_000 for answer in answers)


def test_each_thread_has_its_own_child_which_ends_with_it() -> None:
    sandbox = Sandbox(_settings())
    pids: list[int] = []

    def work() -> None:
        sandbox.extract([PAGE])
        pids.append(sandbox.child().process.pid)

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(set(pids)) == 2
    assert all(_ends(pid) for pid in pids)


@pytest.mark.parametrize("busy", [False, True])
def test_no_child_outlives_a_parent_that_is_killed(busy: bool) -> None:
    code = (
        "import sys; from curator.extract.sandbox import Sandbox\n"
        "sandbox = Sandbox(sys.argv[1]); print(sandbox.child().process.pid, flush=True)\n"
        "page = sys.stdin.buffer.readline()\n"
        "sandbox.extract([page]) if page.strip() else None; sys.stdin.buffer.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, _settings(max_seconds=3.0)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert parent.stdin
    assert parent.stdout
    with parent, parent.stdin:
        pid = int(parent.stdout.readline())
        start = _cpu_seconds(pid)
        parent.stdin.write((SLOW if busy else b"") + b"\n")
        parent.stdin.flush()
        while busy and _cpu_seconds(pid) < start + 0.2:
            pass
        parent.kill()
        assert _ends(pid)


def test_what_an_engine_prints_does_not_disturb_the_protocol() -> None:
    code = (
        "from curator.extract import child\n"
        "child._engine = lambda settings: lambda page: print('noise' * 100, flush=True) or page\n"
        "child.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    requests = [_settings().encode(), b"a page"]
    out, _ = process.communicate(b"".join(child.REQUEST.pack(len(r)) + r for r in requests))
    assert out == child.ANSWER.pack(child.READY, 0) + child.ANSWER.pack(child.OK, 6) + b"a page"


def test_a_child_that_cannot_start_is_an_error_not_a_dropped_page() -> None:
    with pytest.raises(RuntimeError, match="did not start: KeyError"):
        Sandbox(json.dumps({"engine": "none"})).extract([PAGE])
