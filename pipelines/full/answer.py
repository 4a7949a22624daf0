"""One answer over HTTP: start `millrace serve` on a free port, ask, and end it cleanly.

python -m pipelines.full.answer --model FOLDER --data FOLDER --before FILE --output FOLDER
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from millrace import storage
from millrace.errors import MillraceError
from pipelines.full.measures import ANSWER_TOKENS, lines
from pipelines.full.plan import MILLRACE

ADDRESS = re.compile(r"http://\S+/v1\b")
START_SECONDS, ANSWER_SECONDS, END_SECONDS = 180.0, 120.0, 60.0  # a loaded machine takes a minute to import torch


class AnswerError(MillraceError):
    """A server that did not start, answer or end."""


@dataclass
class Server:
    """A server at work, and what it said."""

    process: subprocess.Popen[str]
    said: list[str] = field(default_factory=list)
    address: str = ""

    def listen(self) -> None:
        """Read what it says until it ends."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))
            if found := ADDRESS.search(line):
                self.address = found[0]


@contextmanager
def served(folder: str) -> Iterator[str]:
    """Give the address of a server of a model's folder; it drains and ends with the block.

    Raises AnswerError where it does not start, or does not end with code 0.
    """
    command = [*MILLRACE, "serve", folder, "--port", "0"]
    server = Server(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    listener = threading.Thread(target=server.listen, daemon=True)
    listener.start()
    try:
        until = time.monotonic() + START_SECONDS
        while not server.address:
            if server.process.poll() is not None or time.monotonic() > until:
                raise AnswerError(f"the server of {folder} did not start: {' '.join(server.said[-1:]) or 'no word'}")
            time.sleep(0.05)
        yield server.address
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(END_SECONDS)
        if code:
            raise AnswerError(f"the server of {folder} ended with code {code}: {' '.join(server.said[-1:])}")
    finally:
        server.process.kill()
        server.process.wait()
        listener.join(5)


def ask(address: str, model: str, question: str) -> dict[str, Any]:
    """Return the reply to a question, greedily, in OpenAI's form."""
    body = {
        "model": model, "messages": [{"role": "user", "content": question}], "max_tokens": ANSWER_TOKENS,
        "temperature": 0,
    }  # fmt: skip
    request = urllib.request.Request(
        f"{address}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as reply:
        found: dict[str, Any] = json.load(reply)
    return found


def models(address: str) -> list[str]:
    """Return the names of the models a server has."""
    with urllib.request.urlopen(f"{address}/models", timeout=ANSWER_SECONDS) as reply:
        return [str(one["id"]) for one in json.load(reply)["data"]]


def main() -> int:
    """Ask the first of the held-out questions, and write what came beside what the first model said."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("model", "data", "before", "output"):
        parser.add_argument(f"--{name}", required=True)
    given = parser.parse_args()
    first = lines(storage.join(given.data, "held", "questions.jsonl"))[0]
    began = time.perf_counter()
    with served(given.model) as address:
        started, (name, *_) = time.perf_counter() - began, models(address)
        began = time.perf_counter()
        reply = ask(address, name, first["question"])
        seconds = time.perf_counter() - began
    made = {
        "question": first["question"], "wanted": first["wanted"],
        "before": storage.read_json(given.before)["answers"][first["question"]],
        "after": reply["choices"][0]["message"]["content"], "finish_reason": reply["choices"][0]["finish_reason"],
        "usage": reply["usage"], "seconds_to_start": round(started, 2), "seconds_to_answer": round(seconds, 3),
    }  # fmt: skip
    storage.write_json(storage.join(given.output, "answer.json"), made)
    print(f"{made['question']} {made['after'].strip()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
