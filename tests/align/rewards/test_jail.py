"""Programs that try to get out: each way is tried by a program, and none of them is open."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from align.rewards import jail, locks
from align.rewards.jail import Limits, run

pytestmark = pytest.mark.skipif(bool(locks.missing()), reason=f"no lock here: {locks.missing()}")


@pytest.mark.parametrize(
    ("program", "tests", "passed", "reason"),
    [
        ("def f(x): return x + 1", "assert f(1) == 2", True, ""),
        ("def f(x): return x + 1", "assert f(1) == 3", False, "AssertionError"),
        ("def f(x) return x", "", False, "SyntaxError"),
        ("import sys; sys.exit(0)", "assert False", False, "SystemExit: 0"),
        ("import os; os._exit(0)", "assert False", False, "ended before its tests did, with 0"),
        ("def f():\n    import os; os._exit(0)", "assert f()", False, "ended before its tests did, with 0"),
        ("import ctypes; ctypes.string_at(0)", "", False, "ended before its tests did, with -11"),
        ("def f(): return f()\nf()", "", False, "RecursionError"),
        ("import threading\nmade = []\nt = threading.Thread(target=lambda: made.append(1)); t.start(); t.join()",
         "assert made", True, ""),
        ("import asyncio\nasync def f(): return 3\nfound = asyncio.run(f())", "assert found == 3", True, ""),
        ("import math, re, collections, itertools, heapq, random, json, datetime, typing, decimal, fractions, hashlib",
         "assert math.gcd(4, 6) == 2", True, ""),
        ("with open('own', 'w') as f: f.write('x')", "assert open('own').read() == 'x'", True, ""),
        ("x = 'é\\u2028'", "assert len(x) == 2", True, ""),
    ],
)  # fmt: skip
def test_what_a_program_comes_to(program, tests, passed, reason):
    outcome = run(program, tests)
    assert (outcome.passed, outcome.refused) == (passed, False)
    assert outcome.reason.startswith(reason)
    assert bool(outcome.reason) == (not passed)


def test_the_standard_library_is_all_there():
    """Whatever of it this test can import; modules in C load shared libraries of the system."""
    names = ["_bz2", "_ctypes", "_decimal", "_hashlib", "_lzma", "_sqlite3", "_ssl", "array", "asyncio", "collections",
             "concurrent.futures", "dataclasses", "doctest", "fractions", "functools", "heapq", "json", "logging",
             "math",
             "multiprocessing", "random", "re", "sqlite3", "ssl", "statistics", "tempfile", "typing", "unicodedata",
             "unittest", "urllib.request", "xml.etree.ElementTree", "zlib"]  # fmt: skip
    there = [name for name in names if importlib.util.find_spec(name)]
    assert len(there) > 25
    outcome = run(f"import importlib\nfor name in {there}: importlib.import_module(name)", limits=Limits(seconds=20))
    assert outcome.passed, outcome.reason


def test_what_is_installed_is_not_there():
    assert run("import numpy").reason == "ModuleNotFoundError: No module named 'numpy'"
    assert run("import align").reason == "ModuleNotFoundError: No module named 'align'"


def test_input_and_output_go_through():
    outcome = run(
        "print(sum(map(int, input().split())))\nprint(sys.argv if 'sys' in globals() else 'é')", stdin="1 2 39\n"
    )
    assert (outcome.passed, outcome.output.decode()) == (True, "42\né\n")


ESCAPES = {
    "a socket": "import socket; socket.socket()",
    "a Unix socket": "import socket; socket.socket(socket.AF_UNIX)",
    "a packet socket": "import socket; socket.socket(17, 3)",
    "a socket by number": "import ctypes\nassert ctypes.CDLL(None).syscall(SOCKET, 2, 1, 0) < 0; raise PermissionError",
    "io_uring": "import ctypes\nassert ctypes.CDLL(None).syscall(425, 8, None) < 0; raise PermissionError",
    "a call of the other ABI": "import ctypes; assert ctypes.CDLL(None).syscall(1 << 30 | 41) < 0; raise OSError(38)",
    "a new process": "import os; os.fork()",
    "a new process by spawn": "import os; os.posix_spawn('/bin/true', ['true'], {})",
    "a program": "import os; os.execv('/bin/true', ['true'])",
    "a shell": "import subprocess; subprocess.run('true', shell=True)",
    "a namespace": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) < 0; raise PermissionError",
    "a file at the root": "open('/millrace-escaped', 'w')",
    "a file beside its folder": "open('../millrace-escaped', 'w')",
    "a device": "open('/dev/null', 'wb')",
    "a file of the system": "open('/etc/passwd')",
    "its parent's environment": "import os; open(f'/proc/{os.getppid()}/environ').read()",
    "its parent's memory": "import os; open(f'/proc/{os.getppid()}/mem', 'rb')",
    "its parent, asked": "import os; os.kill(os.getppid(), 0)",
    "its parent, by a signal as good as any": "import os, signal; os.kill(os.getppid(), signal.SIGCONT)",
    "its group, killed": "import os, signal; os.killpg(0, signal.SIGTERM)",
    "its parent's priority": "import os; os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "its parent's processors": "import os; os.sched_setaffinity(os.getppid(), {0})",
    "its parent's limits": "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))",
    "its own limits": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (9999, 9999))",
    "its parent, by signals of a pipe": "import os, fcntl; fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())",
    "a link": "import os; os.symlink('/etc/passwd', 'passwd')",
    "a hard link": "import os; os.link(os.__file__, 'stolen')",
    "a folder": "import os; os.mkdir('deep')",
    "a mode": "import os; os.chmod('.', 0o777)",
    "an owner": "import os; os.chown('.', 1, 1)",
    "a time": "import os; open('own', 'w').close(); os.utime('own')",
    "an attribute": "import os; os.setxattr('.', 'user.x', b'x')",
    "a file emptied": "import os; os.truncate(VICTIM, 0)",
    "a file emptied on opening": "import os; open('own', 'w').close(); os.open('own', os.O_RDONLY | os.O_TRUNC)",
    "the library, written": "import os; open(os.__file__, 'a')",
    "a file, written": "open(VICTIM, 'a')",
    "a file, read": "open(VICTIM)",
    "a file, replaced": "import os; open('own', 'w').close(); os.rename('own', VICTIM)",
    "a file, removed": "import os; os.remove(VICTIM)",
    "memory that no limit counts": "import os; os.memfd_create('x')",
    "another root": "import os; os.chroot('.')",
    "a trace": "import ctypes, os\nassert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) < 0; raise PermissionError",
}

REFUSED = (
    "PermissionError",
    "ValueError: not allowed to raise maximum limit",
    "OSError: [Errno 18] Invalid cross-device",
    "OSError: 38",
)


@pytest.mark.parametrize("way", ESCAPES)
def test_no_way_out(way, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("whole")
    number = locks.DENIED[os.uname().machine]["socket"]
    outcome = run(ESCAPES[way].replace("SOCKET", str(number)).replace("VICTIM", repr(str(victim))))
    assert not outcome.passed
    assert outcome.reason.startswith(REFUSED), outcome.reason
    assert not Path("/millrace-escaped").exists()
    assert victim.read_text() == "whole"


def test_a_listening_port_of_this_machine_is_out_of_reach():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        outcome = run(f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{port}', timeout=1)")
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert "Operation not permitted" in outcome.reason


def test_the_environment_and_the_arguments_tell_nothing(monkeypatch):
    monkeypatch.setenv("MILLRACE_SECRET", "secret")
    outcome = run("import os, sys; print(dict(os.environ), sys.argv, sorted(os.listdir('.')))")
    assert outcome.output.decode() in (f"{env} ['program.py'] []\n" for env in ({}, {"LC_CTYPE": "C.UTF-8"}))


@pytest.mark.parametrize(
    ("program", "limits", "reason"),
    [
        ("while True: pass", Limits(seconds=0.5), "took more than 0.5 seconds"),
        ("import time; time.sleep(60)", Limits(seconds=0.5), "took more than 0.5 seconds"),
        ("import sys, os\nfor fd in range(64):\n    try: os.close(fd)\n    except OSError: pass\nwhile True: pass",
         Limits(seconds=0.5), "took more than 0.5 seconds"),
        ("import signal\nfor s in {*range(1, 32)} - {9, 19}: signal.signal(s, signal.SIG_IGN)\n"
         "while True: pass", Limits(seconds=0.5), "took more than 0.5 seconds"),
        ("x = bytearray(10 << 30)", Limits(), "MemoryError"),
        ("x = []\nwhile True: x.append(' ' * 1_000_000 + str(len(x)))", Limits(memory_mb=128), "MemoryError"),
        ("import mmap; mmap.mmap(-1, 10 << 30)", Limits(), "OSError: [Errno 12]"),
        ("while True: print('x' * 1000)", Limits(output_kb=64), "wrote more than 64 KB"),
        ("open('big', 'wb').write(bytes(10_000_000))", Limits(), "OSError: [Errno 27] File too large"),
        ("for n in range(100_000): open(str(n), 'wb').write(bytes(900_000))", Limits(files_mb=4),
        "wrote files of more than 4 MB"),
        ("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()", Limits(),
         "RuntimeError: can't start new thread"),
        ("9**9**9**9", Limits(seconds=0.5), "took more than 0.5 seconds"),
        ("held = [open(str(n), 'w') for n in range(1000)]", Limits(), "OSError: [Errno 24] Too many open files"),
    ],
)  # fmt: skip
def test_limits_hold(program, limits, reason):
    began = time.monotonic()
    outcome = run(program, limits=limits)
    assert outcome.reason.startswith(reason)
    assert not outcome.passed
    assert time.monotonic() - began < 30
    assert len(outcome.output) <= limits.output_kb * 1024


def test_no_process_and_no_folder_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for program in ("pass", "while True: pass", "open('x', 'w').write('x'); import os; os.kill(os.getpid(), 9)"):
        run(program, limits=Limits(seconds=0.3))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_it_dies_with_what_started_it():
    """Kill the parent outright: the locked process, which sleeps, must be gone as well."""
    code = "from align.rewards.jail import run, Limits; run('import time; time.sleep(300)', limits=Limits(seconds=300))"
    root = Path(jail.__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", code], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}) as parent:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        ends = time.monotonic() + 30
        while not (found := children.read_text().split()):
            assert time.monotonic() < ends
        child = int(found[0])
        status = Path(f"/proc/{child}/status")
        while "Seccomp:\t2" not in status.read_text():
            assert time.monotonic() < ends
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        while status.exists() and "State:\tZ" not in status.read_text():
            assert time.monotonic() < ends


LAUNCHER = """#!{python}
import os, platform, sys
sys.path.insert(0, {root!r})
from align.rewards import locks
locks.DENIED[platform.machine()], locks.ARGUMENTS[platform.machine()] = {{"landlock_create_ruleset": 444}}, []
locks.LIBC.prctl(locks.SET_NO_NEW_PRIVS, 1, 0, 0, 0)
locks._filter_calls()
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""


def test_on_a_kernel_without_landlock_nothing_runs_and_the_reason_is_said(monkeypatch, tmp_path):
    """An interpreter started under a filter that refuses Landlock's first call, as an older kernel does."""
    launcher = tmp_path / "python"
    launcher.write_text(LAUNCHER.format(python=sys.executable, root=str(Path(jail.__file__).parents[2])))
    launcher.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(launcher))
    outcome = run("print('it ran')")
    assert (outcome.passed, outcome.refused, outcome.output) == (False, True, b"")
    assert "landlock_create_ruleset: Operation not permitted" in outcome.reason
    said = subprocess.run(
        [str(launcher), "-c", f"import sys; sys.path.insert(0, {str(Path(jail.__file__).parents[2])!r})\n"
         "from align.rewards.code import refusal; print(refusal())"], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (
        said.stdout.strip()
        == "the kernel has no Landlock: Linux 5.13 or newer, with landlock among the modules of lsm="
    )


def test_no_capability_is_left():
    """By capget, version 3: effective, permitted and inheritable, in two words each."""
    outcome = run(
        "import ctypes, struct, platform\n"
        "number = {'x86_64': 125, 'aarch64': 90}[platform.machine()]\n"
        "sets = ctypes.create_string_buffer(24)\n"
        "assert ctypes.CDLL(None).syscall(number, struct.pack('Ii', 0x20080522, 0), sets) == 0\n"
        "print(sets.raw.hex())"
    )
    assert (outcome.passed, outcome.output.decode().strip()) == (True, "00" * 24)


@pytest.mark.skipif(os.getuid() != 0, reason="these tests run as an ordinary user already")
def test_an_ordinary_user_can_lock_as_root_can():
    """By the system's interpreter, as nobody: the one that runs these tests may lie in root's own folder."""
    root, interpreter = str(Path(jail.__file__).parents[2]), "/usr/bin/python3"
    nobody = {"user": 65534, "group": 65534, "extra_groups": []}
    can = [interpreter, "-c", f"import sys; sys.path.insert(0, {root!r}); import align.rewards.jail"]
    if not Path(interpreter).exists() or subprocess.run(can, capture_output=True, cwd="/", **nobody).returncode:
        pytest.skip(f"{interpreter} is absent, too old, or may not read {root}")
    code = (
        f"import sys; sys.path.insert(0, {root!r})\n"
        "from align.rewards.jail import run\n"
        "for program in ('print(1)', 'import socket; socket.socket()', 'import os; os.fork()',\n"
        "                'open(\"/etc/passwd\")',\n"
        "                'import os; os.kill(os.getppid(), 0)', 'import os; open(\"/tmp/millrace-escaped\", \"w\")'):\n"
        "    print(run(program).reason.partition(':')[0] or 'passed')"
    )
    said = subprocess.run([interpreter, "-c", code], capture_output=True, text=True, cwd="/", check=True, **nobody)
    assert said.stdout.split() == ["passed"] + ["PermissionError"] * 5
