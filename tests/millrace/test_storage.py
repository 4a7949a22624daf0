"""Files are whole or absent, on a disk and on an object store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from millrace import storage
from millrace.errors import StorageError

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder on a disk, and one on an object store."""
    return str(tmp_path / "there") if request.param == "disk" else f"memory://{uuid.uuid4().hex}"


def run_and_die(code: str, *arguments: str) -> int:
    """Run code that ends in its own death, and return the exit status."""
    head = "import os, signal, sys\nfrom millrace import storage\n"
    return subprocess.run([sys.executable, "-c", head + code, *arguments], cwd=ROOT).returncode


def fail_after(write: Any, content: Any, error: type[BaseException]) -> None:
    write(content)
    raise error


def test_what_is_written_is_read(folder):
    url = storage.join(folder, "a", "b.bin")
    assert not storage.exists(url)
    assert storage.list_folder(folder) == []
    storage.write_bytes(url, b"\x00\xff" * 1000)
    assert storage.read_bytes(url) == b"\x00\xff" * 1000
    storage.write_json(storage.join(folder, "c.json"), {"ü": [1, None]})
    assert storage.read_json(storage.join(folder, "c.json")) == {"ü": [1, None]}
    assert storage.list_folder(folder) == ["a", "c.json"]
    storage.remove(storage.join(folder, "a"))
    storage.remove(storage.join(folder, "absent"))
    assert storage.list_folder(folder) == ["c.json"]


def test_a_block_that_fails_leaves_the_file_as_it_was(folder):
    old, new = storage.join(folder, "old"), storage.join(folder, "new")
    storage.write_bytes(old, b"old")
    for url in (old, new):
        with pytest.raises(KeyError), storage.writing(url) as stream:
            fail_after(stream.write, b"half of the ne", KeyError)
    assert storage.read_bytes(old) == b"old"
    assert not storage.exists(new)
    assert storage.list_folder(folder) == ["old"]


def test_a_file_is_absent_until_its_block_ends(folder):
    url = storage.join(folder, "x")
    with storage.writing(url) as stream:
        stream.write(b"all")
        assert not storage.exists(url)
    assert storage.read_bytes(url) == b"all"


def test_many_files_can_be_written_at_once(folder):
    first, second = storage.join(folder, "1"), storage.join(folder, "2")
    with storage.writing(first) as a:
        with storage.writing(second) as b:
            b.write(b"b")
            a.write(b"a")
        a.write(b"a")
    assert (storage.read_bytes(first), storage.read_bytes(second)) == (b"aa", b"b")


def test_a_writer_that_is_killed_leaves_no_file_but_a_leftover_that_can_be_removed(tmp_path):
    code = (
        "with storage.writing(sys.argv[1]) as stream:\n    stream.write(b'x' * 1000000)\n    stream.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (tmp_path / "deep").mkdir()
    storage.write_bytes(str(tmp_path / "deep/old"), b"old")
    for name in ("new", "old"):
        assert run_and_die(code, str(tmp_path / "deep" / name)) == -signal.SIGKILL
    assert len(list(tmp_path.rglob("*.tmp"))) == 2
    storage.remove_leftovers(str(tmp_path))
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["old"]
    assert (tmp_path / "deep/old").read_bytes() == b"old"


def test_a_writer_that_is_killed_right_after_leaves_the_whole_file(tmp_path):
    code = "storage.write_bytes(sys.argv[1], b'x' * 1000000)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    assert run_and_die(code, str(tmp_path / "new")) == -signal.SIGKILL
    assert (tmp_path / "new").read_bytes() == b"x" * 1_000_000
    assert len(list(tmp_path.iterdir())) == 1


def test_find_lists_files_by_name_with_what_changes_when_they_do(folder):
    for name in ("b.txt", "a.txt", "c.bin"):
        storage.write_bytes(storage.join(folder, name), name.encode())
    found = storage.find(storage.join(folder, "*.txt"))
    assert [(file.url.rpartition("/")[2], file.bytes) for file in found] == [("a.txt", 5), ("b.txt", 5)]
    assert [storage.read_bytes(file.url) for file in found] == [b"a.txt", b"b.txt"]
    (one,) = storage.find(storage.join(folder, "a.txt"))
    assert (one.url, one.bytes) == (found[0].url, found[0].bytes)
    assert storage.find(one.url) == [one]
    storage.write_bytes(one.url, b"other")
    (other,) = storage.find(one.url)
    assert other.bytes == one.bytes
    assert other.stamp != one.stamp


@pytest.mark.parametrize("name", ["absent", "absent*", "folder"])
def test_find_names_what_matches_nothing(folder, name):
    storage.write_bytes(storage.join(folder, "folder/x"), b"")
    with pytest.raises(StorageError, match=name.replace("*", r"\*")):
        storage.find(storage.join(folder, name))


def test_what_cannot_be_read_is_named(folder):
    with pytest.raises(StorageError, match=r"cannot read .*absent"):
        storage.read_bytes(storage.join(folder, "absent"))
    storage.write_bytes(storage.join(folder, "x.json"), b"{")
    with pytest.raises(StorageError, match=r"x\.json is not a JSON file"):
        storage.read_json(storage.join(folder, "x.json"))


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    with pytest.raises(StorageError, match="x is a file; a folder was expected"):
        storage.list_folder(str(tmp_path / "x"))
    for write in (
        lambda: storage.write_bytes(str(tmp_path / "x/y"), b""),
        storage.lock(f"{tmp_path}/x/y", "me").__enter__,
    ):
        with pytest.raises(StorageError, match=r"cannot write .*x/y: (Not a directory|File exists)"):
            write()


def test_a_store_nobody_knows_is_named():
    with pytest.raises(StorageError, match="cannot open nostore://x: Protocol not known"):
        storage.exists("nostore://x")


def test_a_lock_has_one_holder(folder):
    url = storage.join(folder, "lock")
    with storage.lock(url, "process 1"):
        with pytest.raises(BlockingIOError, match="process 1"), storage.lock(url, "process 2"):
            pass
        with pytest.raises(BlockingIOError, match="process 1"), storage.lock(url, "process 2"):
            pass
    with storage.lock(url, "process 3"):
        pass
    with pytest.raises(KeyError), storage.lock(url, "process 4"):
        raise KeyError
    with storage.lock(url, "process 5"):
        pass


def test_a_passing_lock_leaves_no_file_and_a_removed_one_locks_nothing(tmp_path, monkeypatch):
    url = f"{tmp_path}/lock"
    with storage.lock(url, "me", passing=True):
        assert (tmp_path / "lock").exists()
    assert list(tmp_path.iterdir()) == []
    opened = storage._lock_file(url)  # as one that came while the first held it
    (tmp_path / "lock").unlink()
    monkeypatch.setattr(storage, "_lock_file", lambda url: opened)
    with pytest.raises(BlockingIOError, match="ended just now"), storage.lock(url, "other"):
        raise AssertionError


def test_a_lock_goes_with_its_process(tmp_path):
    code = "with storage.lock(sys.argv[1], 'dead'):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    assert run_and_die(code, str(tmp_path / "lock")) == -signal.SIGKILL
    assert (tmp_path / "lock").read_text() == "dead"
    with storage.lock(str(tmp_path / "lock"), "alive"):
        assert (tmp_path / "lock").read_text() == "alive"


def test_urls():
    assert [storage.is_local(url) for url in ("a/b", "/a", "file:///a", "s3://a/b")] == [True, True, True, False]
    assert storage.absolute("a/../b") == f"{os.getcwd()}/b"  # noqa: PTH109
    assert storage.absolute("file:///a/./b") == "/a/b"
    assert storage.absolute("s3://a/./b") == "s3://a/./b"
    assert storage.join("s3://a/", "b", "c") == "s3://a/b/c"
