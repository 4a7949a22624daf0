"""Ten thousand requests, many of which leave, stop, stream or are refused: none lost, none mixed up, nothing leaked."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.report import setting, table, write_result
from benchmarks.serve_client import Answer, Process, post, serving
from tests.align import tiny

CLIENTS = 64
KINDS = {
    "whole": 30,
    "stream": 30,
    "leave in mid-stream": 15,
    "leave at once": 5,
    "stop string": 10,
    "chat": 7,
    "bad": 3,
}
BAD = ({"max_tokens": -1}, {"prompt": 5}, {"prompt": "x" * 100_000}, {"temprature": 1})
LEAKS = {
    "engine_running": "completions in the engine", "engine_waiting": "completions that wait in it",
    "engine_blocks_used": "blocks of the cache in use", "requests_running": "requests under way",
    "queue_running": "places held", "queue_waiting": "completions that wait",
}  # fmt: skip


def asked(seed: int) -> dict[str, Any]:
    """Return one of the requests that are asked again and again."""
    rng = random.Random(seed)
    prompt = [rng.randrange(4, 320) for _ in range(rng.choice((1, 3, 20, 60)))]
    body = {"prompt": prompt, "max_tokens": rng.randint(1, 24), "seed": seed, "return_token_ids": True, "n": 1}
    body["temperature"] = rng.choice((0, 0.7, 1.0))
    if rng.random() < 0.2:
        body |= {"n": 2, "top_p": 0.9}
    return body


def told(answer: Answer, chat: bool = False) -> list[tuple[str, list[int], str]]:
    """Return text, token ids and finish of each completion of an answer."""
    parts: dict[int, tuple[str, list[int], str]] = {}
    for one in answer.events or [answer.content]:
        for choice in one["choices"]:
            text, ids, finish = parts.get(choice["index"], ("", [], ""))
            message = choice.get("delta") or choice.get("message") or {}
            text += (message.get("content") or "") if chat else choice["text"]
            parts[choice["index"]] = (text, ids + choice["token_ids"], choice["finish_reason"] or finish)
    return [parts[number] for number in sorted(parts)]


class Soak:
    """Clients, what they expect, and what they got."""

    def __init__(self, server: Process, requests: int, variants: int) -> None:
        self.server, self.left, self.variants = server, requests, variants
        self.expected: list[Any] = []
        self.chats: list[Any] = []
        self.kinds, self.statuses, self.wrong = Counter[str](), Counter[int](), Counter[str]()
        self.memory: list[float] = []

    async def prepare(self) -> None:
        """Ask everything once, one at a time."""
        for seed in range(self.variants):
            self.expected.append(told(await self.ask("/v1/completions", asked(seed))))
            self.chats.append(told(await self.ask("/v1/chat/completions", self.chat(seed)), chat=True))

    @staticmethod
    def chat(seed: int) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": f"count to {seed}"}], "max_tokens": 6, "seed": seed,
                "return_token_ids": True}  # fmt: skip

    async def ask(self, path: str, body: Any, leave_after: int | None = None) -> Answer:
        """Ask, and again where the queue is full."""
        while True:
            try:
                answer = await post(self.server.port, path, body, leave_after)
            except (OSError, EOFError, IndexError):  # the connection broke
                answer = Answer(-1)
            self.statuses[answer.status] += 1
            if answer.status != 429:
                return answer
            await asyncio.sleep(random.random() * 0.2)

    async def client(self, number: int) -> None:
        """Ask until as many requests were asked as are wanted."""
        rng = random.Random(number)
        while self.left > 0:
            self.left -= 1
            if self.left % 500 == 0:
                self.memory.append(self.server.memory_mb())
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            self.kinds[kind] += 1
            if not await self.one(kind, rng.randrange(self.variants), rng):
                self.wrong[kind] += 1

    async def one(self, kind: str, seed: int, rng: random.Random) -> bool:
        """Ask one request; return whether its answer is the one that is expected."""
        body, expected, path = asked(seed), self.expected[seed], "/v1/completions"
        if kind == "bad":
            return (await self.ask(path, body | rng.choice(BAD))).status == 400
        if kind == "leave at once":
            await self.ask(path, body | {"max_tokens": 180}, 0)
            return True
        if kind == "leave in mid-stream":
            await self.ask(path, body | {"max_tokens": 180, "stream": True}, rng.randint(1, 4))
            return True
        if kind == "chat":
            stream = rng.random() < 0.5
            answer = await self.ask("/v1/chat/completions", self.chat(seed) | {"stream": stream})
            return answer.status == 200 and answer.done == stream and told(answer, chat=True) == self.chats[seed]
        if kind == "stop string":
            text = expected[0][0]
            stop = text[len(text) // 2 :][:2] or "zz"
            answer = await self.ask(path, body | {"stop": stop, "stream": rng.random() < 0.5})
            return answer.status == 200 and [one[0] for one in told(answer)] == [
                one[0].split(stop)[0] for one in expected
            ]
        answer = await self.ask(path, body | {"stream": kind == "stream"})
        return answer.status == 200 and answer.done == (kind == "stream") and told(answer) == expected


async def settled(server: Process) -> dict[str, float]:
    """Return the metrics once nothing is under way, or after ten seconds."""
    for _ in range(100):
        found = await asyncio.to_thread(server.metrics)
        if not any(found[f"millrace_{name}"] for name in LEAKS):
            break
        await asyncio.sleep(0.1)
    return found


def main() -> None:
    """Run the soak and write the result; exits with 1 where anything was lost, mixed up or leaked."""
    with setting(__doc__ or "", with_peers=False, requests={"type": int, "default": 10_000}) as given:
        folder, count = given.work / "tiny", given.given.requests
        tiny.model(folder)
        more = ["--set", "server.max_running=24", "--set", "server.max_waiting=24", "--set", "server.max_completions=4"]
        with serving(folder, given.work / "log.jsonl", *more) as server:
            lines, bad = asyncio.run(measured(server, count, given.work / "log.jsonl"))
        write_result("serve_soak", "A soak of the server", given, ["starlette", "uvicorn", "torch"], "\n".join(lines))
    sys.exit(1 if bad else 0)


async def measured(server: Process, count: int, log: Path) -> tuple[list[str], bool]:
    """Run the soak and return the lines of its result, and whether anything is wrong."""
    one = Soak(server, count, min(100, max(10, count // 50)))
    await one.prepare()
    before = (server.handles(), server.threads(), (await settled(server))["millrace_tasks"])
    begun, cpu = time.perf_counter(), server.cpu()
    await asyncio.gather(*(one.client(number) for number in range(CLIENTS)))
    wall, used = time.perf_counter() - begun, server.cpu() - cpu
    found = await settled(server)
    after = (server.handles(), server.threads(), found["millrace_tasks"])
    lost = sum(one.statuses.values()) - len(log.read_text().splitlines())
    leaks = {text: found[f"millrace_{name}"] for name, text in LEAKS.items()}
    growth = one.memory[-1] - one.memory[len(one.memory) // 5]
    wrong = sum(one.wrong.values())
    failed = found.get('millrace_requests_total{route="/v1/completions",status="500"}', 0.0)
    rows = [[kind, one.kinds[kind], one.wrong[kind]] for kind in KINDS]
    lines = [
        f"{count:,} requests by {CLIENTS} clients at once, each on a connection of its own, to a model of random "
        "weights; of 24 places and 24 that wait. Each answer is compared with the one that the same request got when "
        "it was alone: text, token ids and finish. A refusal for a full queue is asked again.\n",
        table(["kind", "requests", "wrong answers"], rows),
        f"\n- wall {wall:.0f} s, CPU of the server {used:.0f} s; 429: {one.statuses[429]:,}; 500: {failed:.0f}; "
        f"connections that broke: {one.statuses[-1]}",
        f"- requests of the clients that the access log lacks: {lost}",
        *(f"- {text} at the end: {value:.0f}" for text, value in leaks.items()),
        f"- file handles, threads, tasks before: {before}; after: {after}",
        f"- resident memory, MB, every 500 requests: {', '.join(f'{mb:.0f}' for mb in one.memory)}",
    ]
    leaked = any(leaks.values()) or after[0] > before[0] + 2 or after[2] > before[2] + 2
    return lines, bool(wrong or leaked or lost or failed or growth > 30)


if __name__ == "__main__":
    main()
