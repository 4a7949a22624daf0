"""The one door to files: any fsspec URL in, and out only whole or absent.

A local file is written aside, synced, and renamed over its name; on an object store it is one put.
Everything that leaves a run passes through `writing`; only logs, which grow line by line, through `appending`.
"""

from __future__ import annotations

import contextlib
import glob as globbing  # Path.glob takes no absolute patterns
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from millrace.errors import StorageError

TEMPORARY = ".tmp"  # suffix of files that were being written when a run was killed


@dataclass(frozen=True)
class File:
    """A file that was found: its absolute path or URL, its size, and what changes when it does."""

    url: str
    bytes: int
    stamp: str  # modification time in nanoseconds, or the store's etag


def is_local(url: str) -> bool:
    """Tell whether a URL is a path on this machine."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    """Return the path of a local URL."""
    return Path(url.removeprefix("file://"))


def absolute(url: str) -> str:
    """Return the URL, made absolute where it is a local path."""
    return str(Path(os.path.abspath(local_path(url)))) if is_local(url) else url  # noqa: PTH100


def join(folder: str, *names: str) -> str:
    """Return the URL of a name below a folder."""
    return "/".join([folder.rstrip("/"), *names])


def find(pattern: str) -> list[File]:
    """List the files a path or glob names, sorted by URL. Raises StorageError where there is none."""
    if is_local(pattern):
        paths = [Path(p) for p in sorted(globbing.glob(absolute(pattern), recursive=True))]  # noqa: PTH207
        found = [File(str(p), p.stat().st_size, str(p.stat().st_mtime_ns)) for p in paths if p.is_file()]
    else:
        system, path = _system(pattern)
        system.invalidate_cache()  # other processes have written since
        try:
            details = system.glob(path, detail=True) if globbing.has_magic(path) else {path: system.info(path)}
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot list {pattern}: {error}") from None
        found = [
            File(system.unstrip_protocol(name), info.get("size") or 0, _stamp(info))
            for name, info in sorted(details.items())
            if info["type"] == "file"
        ]
    if not found:
        raise StorageError(f"no file matches {pattern}")
    return found


def _stamp(info: dict[str, Any]) -> str:
    for name in ("ETag", "etag", "md5Hash", "mtime", "LastModified", "created"):
        if info.get(name):
            return str(info[name])
    return ""


def _system(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        return fsspec.core.url_to_fs(url)  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:
        raise StorageError(f"cannot open {url}: {error}") from None


def opening(url: str) -> IO[bytes]:
    """Open a file for reading bytes. Raises StorageError where it cannot be opened."""
    try:
        if is_local(url):
            return local_path(url).open("rb")
        system, path = _system(url)
        return system.open(path, "rb")  # type: ignore[no-any-return]
    except OSError as error:
        raise StorageError(f"cannot read {url}: {error.strerror or error}") from None


def exists(url: str) -> bool:
    """Tell whether a file or folder is there."""
    if is_local(url):
        return local_path(url).exists()
    system, path = _system(url)
    return bool(system.exists(path))


def size(url: str) -> int | None:
    """Return the bytes of a file, None where it is absent."""
    if is_local(url):
        return local_path(url).stat().st_size if local_path(url).is_file() else None
    system, path = _system(url)
    return int(system.size(path)) if system.exists(path) else None


def read_bytes(url: str) -> bytes:
    """Return a file's content."""
    with opening(url) as stream:
        return stream.read()


def read_json(url: str) -> Any:
    """Return a JSON file's content. Raises StorageError where it is not JSON."""
    try:
        return json.loads(read_bytes(url))
    except ValueError:
        raise StorageError(f"{url} is not a JSON file") from None


def list_folder(url: str) -> list[str]:
    """Return the names in a folder, sorted; none where the folder is absent."""
    if not exists(url):
        return []
    if is_local(url):
        if not local_path(url).is_dir():
            raise StorageError(f"{url} is a file; a folder was expected")
        return sorted(p.name for p in local_path(url).iterdir())
    system, path = _system(url)
    system.invalidate_cache()
    return sorted(name.rstrip("/").rpartition("/")[2] for name in system.ls(path, detail=False))


def remove(url: str) -> None:
    """Delete a file or a folder with all it holds; do nothing where it is absent."""
    if not exists(url):
        return
    if is_local(url):
        place = local_path(url)
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    else:
        system, path = _system(url)
        system.rm(path, recursive=True)


def remove_leftovers(folder: str) -> None:
    """Delete what killed writers left below a local folder."""
    if is_local(folder):
        for path in local_path(folder).rglob(f".*{TEMPORARY}"):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(url: str, durable: bool = True) -> Iterator[IO[bytes]]:
    """Give a stream whose content becomes the file when the block ends well, and nothing otherwise.

    durable=False: for scratch files, that need not outlive a crash of the machine; nothing is synced.
    """
    try:
        if is_local(url):
            final = local_path(url)
            final.parent.mkdir(parents=True, exist_ok=True)
            aside = final.with_name(f".{final.name}.{secrets.token_hex(4)}{TEMPORARY}")
            try:
                with aside.open("wb") as stream:
                    yield stream
                    stream.flush()
                    if durable:
                        os.fsync(stream.fileno())
                if durable:
                    publish(aside, final)
                else:
                    aside.replace(final)
            except Exception:
                aside.unlink(missing_ok=True)
                raise
        else:
            system, path = _system(url)
            with tempfile.NamedTemporaryFile(suffix=TEMPORARY) as spooled:  # a stream cannot be taken back
                yield spooled
                spooled.flush()
                system.put_file(spooled.name, path)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"cannot write {url}: {error.strerror or error}") from error


@contextlib.contextmanager
def appending(url: str, kept: int | None = None) -> Iterator[IO[bytes]]:
    """Give a stream that adds lines to a local file, after its first `kept` bytes; None: after its last whole line.

    What was flushed outlives the process. A kill may leave part of a line, which the next `appending` cuts off.
    Raises StorageError for an object store: objects do not grow.
    """
    if not is_local(url):
        raise StorageError(f"cannot append to {url}: objects of a store do not grow; name a folder on a local disk")
    try:
        path = local_path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as stream:
            stream.truncate(_whole_lines(stream) if kept is None else kept)
            yield stream
    except OSError as error:
        raise StorageError(f"cannot write {url}: {error.strerror or error}") from error


def _whole_lines(stream: IO[bytes], block: int = 1 << 16) -> int:
    """Return the position after the last line end, 0 where there is none."""
    end = stream.seek(0, os.SEEK_END)
    while end:
        begin = max(end - block, 0)
        stream.seek(begin)
        at = stream.read(end - begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def publish(aside: Path, final: Path) -> None:
    """Give a finished file its name, in one step that survives a crash of the machine."""
    aside.replace(final)
    folder = os.open(final.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(url: str, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with writing(url) as stream:
        stream.write(content)


def write_json(url: str, content: Any) -> None:
    """Write a JSON file, whole or not at all."""
    write_bytes(url, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")


@contextlib.contextmanager
def lock(url: str, holder: str, passing: bool = False) -> Iterator[None]:
    """Hold a lock file; `holder` says who. Raises BlockingIOError with the other holder's words.

    On a local disk the lock goes with its process, however that ends; its file stays, unless it is `passing`. An
    object store has no locks: there the file itself is the lock and stays after a kill, to be deleted by hand.
    """
    if is_local(url):
        import fcntl

        with _lock_file(url) as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                stream.seek(0)
                raise BlockingIOError(stream.read().decode().strip() or "another process") from None
            if not _still(stream, url):  # its holder removed it between opening and locking: it locks nothing
                raise BlockingIOError("another process, which ended just now")
            stream.truncate(0)
            with contextlib.suppress(OSError):  # a full disk: the lock holds without the words
                stream.write(holder.encode())
            try:
                yield
            finally:
                if passing:
                    local_path(url).unlink(missing_ok=True)
    else:
        if exists(url):
            raise BlockingIOError(f"{read_bytes(url).decode().strip()} (if that run is dead, delete {url})")
        write_bytes(url, holder.encode())
        try:
            yield
        finally:
            remove(url)


def _still(stream: IO[bytes], url: str) -> bool:
    """Tell whether an open file still has its name."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), local_path(url).stat())
    except FileNotFoundError:
        return False


def _lock_file(url: str) -> IO[bytes]:
    path = local_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+b", buffering=0)
    except OSError as error:
        raise StorageError(f"cannot write {url}: {error.strerror or error}") from error
