"""A lean client of OpenAI's API on raw sockets, and a server of ours as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT


@dataclass
class Answer:
    """What came: a status, JSON or the events of a stream, and when the first text came."""

    status: int = 0  # 0: the client left before
    content: Any = None
    events: list[Any] = field(default_factory=list)
    first: float = 0.0  # seconds
    done: bool = False  # a stream ended with [DONE]


async def post(port: int, path: str, body: Any, leave_after: int | None = None) -> Answer:
    """Ask on a connection of its own; leave after so many lines of the answer, 0: without reading."""
    begun, answer = time.perf_counter(), Answer()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)
    try:
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        await writer.drain()
        if leave_after == 0:
            return answer
        answer.status = int((await reader.readline()).split()[1])
        while (await reader.readline()).strip():
            pass
        seen = 0
        while line := await reader.readline():
            if line.startswith(b"data: {"):
                answer.events.append(json.loads(line[6:]))
                if not answer.first and _has_text(answer.events[-1]):
                    answer.first = time.perf_counter() - begun
                seen += 1
                if leave_after and seen >= leave_after:
                    return answer
            elif line.startswith(b"data: [DONE]"):
                answer.done = True
            elif line.startswith(b"{"):
                answer.content = json.loads(line)
    finally:
        writer.close()
    return answer


def _has_text(event: Any) -> bool:
    return any(one.get("text") or (one.get("delta") or {}).get("content") for one in event.get("choices") or [])


@dataclass
class Process:
    """A server that runs."""

    port: int
    pid: int

    def cpu(self) -> float:
        """Return the CPU seconds it has used."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> float:
        """Return its resident memory."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def handles(self) -> int:
        """Return its open file handles."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def threads(self) -> int:
        """Return its threads."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def metrics(self) -> dict[str, float]:
        """Return all of /metrics, by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as page:
            lines = page.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


@contextmanager
def serving(folder: Path, log: Path, *more: str) -> Iterator[Process]:
    """Run `millrace serve` while the block runs."""
    command = [sys.executable, "-m", "pipelines.cli", "serve", str(folder), "--port", "0", "--log", str(log), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    made = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=environment)
    assert made.stderr is not None
    try:
        lines = []
        for line in made.stderr:
            lines.append(line)
            if line.startswith("address"):
                break
        if not lines or not lines[-1].startswith("address"):
            sys.exit("".join(lines))
        yield Process(int(lines[-1].rpartition(":")[2].split("/")[0]), made.pid)
    finally:
        made.terminate()
        made.wait(60)
        made.stderr.close()
