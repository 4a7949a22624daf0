"""Save all that a run goes on from, and refuse what another run saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch.distributed as dist

from align.policy import Policy
from align.run.measure import gathered
from millrace import storage, tables
from millrace.errors import StorageError
from pretrain.errors import CheckpointError
from pretrain.run.checkpoints import Folder, differences, manifest

STATE = "state.json"
FOLDER = "checkpoints"  # of a run


class Checkpoints:
    """The checkpoints of one run: a folder a step, with one a policy in it; written aside, whole or absent.

    `about`: what must be the same when a run goes on: method, base model, tokenizer, data. Every call is made by all
    ranks of the job together. A save blocks until it is on the disk. `settings`: all others, by section; they may be
    changed, and what was changed is said.
    """

    def __init__(
        self, folder: Folder, about: Mapping[str, Any], policies: Mapping[str, Policy | None],
        versions: Mapping[str, str], settings: Mapping[str, Any],
    ):  # fmt: skip
        self.folder, self.about, self.policies, self.versions = folder, dict(about), policies, dict(versions)
        self.settings = json.loads(json.dumps(settings))  # as they are read again
        self._rank = dist.get_rank() if dist.is_initialized() else 0

    def save(self, step: int, state: Mapping[str, Any]) -> dict[str, Any]:
        """Save policies and the loop's state after a step; return path and bytes, or the error that befell a rank.

        A disk that fills costs this save: the checkpoints there were stay.
        """
        aside = self.folder.aside(step)
        if self._rank == 0:
            storage.remove(str(aside))
            for name in self.policies:
                (aside / name).mkdir(parents=True)
        gathered(None)
        if error := self._write(aside, state):
            return self._failed(aside, error)
        files = sorted(str(path.relative_to(aside)) for path in aside.rglob("*") if path.is_file())
        world = dist.get_world_size() if dist.is_initialized() else 1
        hashed = {name: tables.checksum(str(aside / name)) for name in files[self._rank :: world]}
        every = {name: kept for part in gathered(hashed) for name, kept in part.items()}
        about = {
            "about": self.about, "versions": self.versions, "settings": self.settings, "policies": list(self.policies),
        }  # fmt: skip
        if error := self._said(lambda: self._rank or self.folder.publish(step, about, every)):
            return self._failed(aside, error)
        return {"path": str(self.folder.at(step)), "bytes": sum(kept["bytes"] for kept in every.values())}

    def _write(self, aside: Path, state: Mapping[str, Any]) -> str:
        """Write one policy after the other; return the error of the first that a rank could not write.

        A policy's ranks gather its parts together: one that went on to the next, where another failed, would wait.
        """
        for name, policy in self.policies.items():
            save = partial(policy.save, str(aside / name)) if policy is not None else None
            if error := self._said(save or (lambda: None)):
                return error
        return self._said(lambda: self._write_state(aside, state))

    def _write_state(self, aside: Path, state: Mapping[str, Any]) -> None:
        if self._rank == 0:
            storage.write_json(str(aside / STATE), dict(state))

    def _said(self, work: Any) -> str:
        """Do this rank's part; return the first rank's disk error, the same on all."""
        error = ""
        try:
            work()
        except (OSError, StorageError) as wrong:
            error = " ".join(str(wrong).split())
        return next((f"rank {rank}: {said}" for rank, said in enumerate(gathered(error)) if said), "")

    def _failed(self, aside: Path, error: str) -> dict[str, Any]:
        if self._rank == 0:
            storage.remove(str(aside))
        gathered(None)
        return {"error": error}

    def newest(self) -> tuple[Path | None, list[str]]:
        """Return the newest whole checkpoint of this run, and what is worth saying. Raises CheckpointError."""
        if self._rank == 0:
            self.folder.clean()
        found, said = gathered(self.folder.latest() if self._rank == 0 else None)[0]
        if found is not None:
            said = said + self._refuse_other(found)
        return found, said

    def _refuse_other(self, path: Path) -> list[str]:
        """Return the versions and settings of what wrote a checkpoint, where they are others."""
        kept = refuse(path, self.about)
        versions = [
            f"{name} {version} wrote the checkpoint, this is {self.versions.get(name, 'without it')}"
            for name, version in kept["versions"].items()
            if self.versions.get(name) != version
        ]
        return versions + differences(kept["settings"], self.settings)

    def load(self, path: Path) -> dict[str, Any]:
        """Take policies from a checkpoint; return the loop's state."""
        for name, policy in self.policies.items():
            if policy is not None:
                policy.load(str(path / name))
        return dict(storage.read_json(str(path / STATE)))


def refuse(path: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint says of itself. Raises CheckpointError where it is of another run, naming both."""
    kept = manifest(path)
    if differ := differences(kept["about"], dict(about)):
        files = kept["settings"]["data"]["path"]
        named = [files] if isinstance(files, str) else files
        of = f"; its data were {', '.join(named)}" if kept["about"]["data"] != about["data"] else ""
        raise CheckpointError(f"{path} is of another run: {'; '.join(differ)}{of}")
    return kept
