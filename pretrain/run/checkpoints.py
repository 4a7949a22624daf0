"""The folder of checkpoints: written aside, whole or absent, the newest whole one found, old ones let go.

checkpoints/step-00000100/        what the ranks wrote, and checkpoint.json: what it is, and every file's hash
checkpoints/latest                the name of the newest
checkpoints/.step-00000200.writing, .step-00000050.removing    passing; removed when the next run starts
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace import storage
from millrace.errors import StorageError
from pretrain.config import Config
from pretrain.errors import CheckpointError

MANIFEST = "checkpoint.json"
LATEST = "latest"
NAME = re.compile(r"step-(\d{8,})")
PASSING = re.compile(r"\.step-\d{8,}\.(writing|removing)")
FREE = ("dropout", "aux_loss", "init_std")  # of a model: how it is trained, not what it is


@dataclass(frozen=True)
class About:
    """What a checkpoint belongs to: on resume it must be the same, `parallel` and `versions` aside."""

    model: dict[str, Any]
    tokenizer: str  # checksum
    data: dict[str, Any]  # fingerprint of the shards and of the order they are read in
    master_weights: bool  # float32 beside bfloat16
    parallel: dict[str, Any]
    versions: dict[str, str]

    @classmethod
    def of(cls, config: Config, tokenizer: str, data: dict[str, Any], versions: dict[str, str]) -> About:
        """Describe a finished configuration."""
        assert config.model is not None
        return cls(
            dataclasses.asdict(config.model), tokenizer, data, config.training.precision != "fp32",
            dataclasses.asdict(config.parallel), versions,
        )  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """The checkpoints of a run."""

    path: Path
    keep_last: int = 2
    keep_every: int = 0  # steps; these are kept for ever. 0: none

    @classmethod
    def of(cls, url: str, keep_last: int = 2, keep_every: int = 0) -> Folder:
        """Return the folder of a URL. Raises CheckpointError where it is not in a file system."""
        if not storage.is_local(url):
            raise CheckpointError(f"checkpoints need a local or network file system (they are renamed); {url} is none")
        return cls(storage.local_path(storage.absolute(url)), keep_last, keep_every)

    def at(self, step: int) -> Path:
        """Return where the checkpoint of a step lies."""
        return self.path / f"step-{step:08d}"

    def aside(self, step: int) -> Path:
        """Return where it is written."""
        return self.path / f".step-{step:08d}.writing"

    def steps(self) -> list[int]:
        """List the steps that have a folder, in order."""
        return sorted(int(m[1]) for name in storage.list_folder(str(self.path)) if (m := NAME.fullmatch(name)))

    def clean(self) -> None:
        """Remove what killed saves left; by one process, before any save."""
        storage.remove_leftovers(str(self.path))
        for name in storage.list_folder(str(self.path)):
            if PASSING.fullmatch(name):
                storage.remove(str(self.path / name))

    def publish(self, step: int, contents: dict[str, Any], files: dict[str, dict[str, Any]]) -> Path:
        """Give a checkpoint that all ranks have written its name, make it `latest`, and let old ones go.

        `files`: bytes and xxh3 of each. Raises StorageError; the checkpoints there were stay.
        """
        aside, final = self.aside(step), self.at(step)
        try:
            for path in sorted(aside.iterdir()):
                _sync(path)
            storage.write_json(str(aside / MANIFEST), {"format": 1, "step": step, **contents, "files": files})
            if final.exists():  # the same step again, after a run went back: the old one was not whole, or is equal
                self._remove(final)
            storage.publish(aside, final)
            storage.write_bytes(str(self.path / LATEST), final.name.encode() + b"\n")
        except OSError as error:
            raise StorageError(f"cannot write {final}: {error.strerror or error}") from error
        self._retain()
        return final

    def _retain(self) -> None:
        for step in doomed(self.steps(), self.keep_last, self.keep_every, self.named()):
            self._remove(self.at(step))

    def named(self) -> int | None:
        """Return the step that `latest` names, None where there is no such checkpoint."""
        url = str(self.path / LATEST)
        match = NAME.fullmatch(storage.read_bytes(url).decode().strip()) if storage.exists(url) else None
        return int(match[1]) if match and self.at(int(match[1])).is_dir() else None

    def _remove(self, path: Path) -> None:
        """Remove a checkpoint, at once; one that is being read stays until the next time."""
        with contextlib.suppress(BlockingIOError), _locked(path, shared=False):
            gone = path.with_name(f".{path.name}.removing")
            path.rename(gone)
            storage.remove(str(gone))

    def latest(
        self, check: Callable[[Path], list[str]] | None = None, steps: Sequence[int] | None = None
    ) -> tuple[Path | None, list[str]]:
        """Return the newest whole checkpoint and a line for each newer one that is not.

        None where there is none at all. `check` says what is wrong with one; without it every file is read and
        hashed here. `steps`: those there are. Raises CheckpointError where there are some and none is whole: a run
        that began anew would in time remove them.
        """
        passed: list[str] = []
        for step in sorted(self.steps() if steps is None else steps, reverse=True):
            path = self.at(step)
            if not (wrong := (check or damage)(path)):
                return path, passed
            passed.append(f"{path} is passed over: {'; '.join(wrong)}")
        if passed:
            raise CheckpointError(f"no whole checkpoint, move them away to begin anew: {'; '.join(passed)}")
        return None, []


def doomed(steps: Sequence[int], keep_last: int, keep_every: int, named: int | None) -> list[int]:
    """Return the steps whose checkpoints go: not among the last, no multiple of keep_every, not the named one."""
    old = sorted(steps)[:-keep_last]
    return [step for step in old if step != named and not (keep_every and step % keep_every == 0)]


def manifest(path: Path) -> dict[str, Any]:
    """Return what a checkpoint says of itself. Raises CheckpointError where it is half-written or not there."""
    try:
        found = storage.read_json(str(path / MANIFEST))
    except StorageError:
        missing = "no such folder" if not path.is_dir() else f"{MANIFEST} is missing or damaged: it is half-written"
        raise CheckpointError(f"no checkpoint in {path}: {missing}") from None
    if found.get("format") != 1:
        raise CheckpointError(f"{path} has checkpoint format {found.get('format')}; this version reads format 1")
    return dict(found)


def damage(path: Path, part: int = 0, parts: int = 1) -> list[str]:
    """Say what is wrong with a checkpoint's files, a line each: all sizes, and the hashes of one part of the files.

    Every byte is read once (from the page cache 3 GB a second, hashing included); ranks share the files.
    """
    from millrace import tables

    try:
        files = manifest(path)["files"]
    except CheckpointError as error:
        return [str(error)]
    wrong = []
    for number, (name, kept) in enumerate(sorted(files.items())):
        size = storage.size(str(path / name))
        if size is None:
            wrong.append(f"{name} is missing")
        elif size != kept["bytes"]:
            wrong.append(f"{name} has {size} bytes, {kept['bytes']} were written")
        elif number % parts == part and tables.checksum(str(path / name)) != kept:
            wrong.append(f"{name} is damaged: its hash is not the one that was written")
    return wrong


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Keep a checkpoint from being let go while it is read."""
    with _locked(path, shared=True):
        yield


def refuse_other(path: Path, about: About, other_data: bool = False) -> list[str]:
    """Raise CheckpointError where a checkpoint is of another model, tokenizer or data; return what is worth saying.

    other_data: go on with other data, or the same in another order; then rows are counted on in the new ones.
    """
    kept = manifest(path)
    shape = {name: value for name, value in about.model.items() if name not in _free(about.model)}
    if differ := differences({n: v for n, v in kept["model"].items() if n in shape}, shape):
        raise CheckpointError(f"{path} is of another model: {'; '.join(differ)}")
    if kept["tokenizer"] != about.tokenizer:
        raise CheckpointError(
            f"{path} is of another tokenizer: {kept['tokenizer']} in the checkpoint, {about.tokenizer} in the shards"
        )
    if kept["master_weights"] != about.master_weights:
        words = {True: "bf16 or fp8", False: "fp32"}
        raise CheckpointError(
            f"{path} is of another precision: {words[kept['master_weights']]} in the checkpoint, "
            f"{words[about.master_weights]} in the configuration"
        )
    notes = [
        f"{name} {version} wrote the checkpoint, this is {about.versions.get(name, 'without it')}"
        for name, version in kept["versions"].items()
        if about.versions.get(name) != version
    ]
    if differ := differences(kept["data"], about.data):
        if not other_data:
            raise CheckpointError(
                f"{path} is of other data: {'; '.join(differ)}; checkpoint.other_data: true goes on with the new"
            )
        notes += [f"other data than the checkpoint's: {line}" for line in differ]
    return notes


def _free(model: dict[str, Any]) -> tuple[str, ...]:
    rotary = model["position_embedding"] == "rope"
    return (*FREE, "positions") if rotary else FREE  # rotary positions have no weights


def differences(kept: Any, given: Any, name: str = "") -> list[str]:
    """Name each value that differs, a line each: "hidden_size 256 in the checkpoint, 128 in the configuration".

    What one side does not have counts as None.
    """
    if isinstance(kept, dict) and isinstance(given, dict):
        both = dict.fromkeys([*kept, *given])
        inner = [(f"{name}.{key}".lstrip("."), kept.get(key), given.get(key)) for key in both]
        return [line for key, a, b in inner for line in differences(a, b, key)]
    if isinstance(kept, list | tuple) and isinstance(given, list | tuple):
        kept, given = list(kept), list(given)
    return [] if kept == given else [f"{name} {kept} in the checkpoint, {given} in the configuration"]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _locked(path: Path, shared: bool) -> Iterator[None]:
    """Hold the lock of a checkpoint. Raises BlockingIOError where another has it."""
    import fcntl

    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
