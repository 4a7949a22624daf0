"""Completions worth looking at: a line each in RUN/samples.jsonl, by step."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from millrace import storage

SAMPLES = "samples.jsonl"


@dataclass(frozen=True)
class Sample:
    """One completion. Step 0 holds those of the watched prompts before training; their later ones follow."""

    prompt_id: str
    prompt: str
    text: str
    length: int  # tokens
    reward: float | None = None
    rewards: Mapping[str, float] = field(default_factory=dict)
    finished: bool = True
    version: int = 0  # of the weights
    before: str = ""  # what it replaces: an answer before its revision


class SampleTable:
    """The file, appended to by one rank."""

    def __init__(self, folder: str):
        self._url = storage.join(folder, SAMPLES)

    def cut(self, restored: int) -> None:
        """Cut lines of later steps than the one a run goes on from, 0 for its beginning: all."""
        if storage.exists(self._url):
            lines = storage.read_bytes(self._url).splitlines(keepends=True)
            kept = [line for line in lines if line.endswith(b"\n") and json.loads(line)["step"] <= restored]
            storage.write_bytes(self._url, b"".join(kept if restored else []))

    def add(self, step: int, samples: Sequence[Sample]) -> None:
        """Add the completions of a step."""
        if not samples:
            return
        with storage.appending(self._url) as stream:
            for one in samples:
                stream.write(json.dumps({"step": step, **dataclasses.asdict(one)}, ensure_ascii=False).encode() + b"\n")
