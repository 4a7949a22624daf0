"""A real server of completions on this machine: vLLM's paths and JSON, a small transformers model behind them.

What goes wrong is told beforehand: `plan` holds one word a completion that is asked for, in the order they come.
"""

from __future__ import annotations

import json
import threading
from collections import Counter, deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from align.rollout.engines import Engine
from align.rollout.generator import Request, Sampling
from align.rollout.transformers import TransformersGenerator


class Server:
    """A server at `url`, as a context. dialect: whose words it speaks."""

    def __init__(self, model: Any, dialect: Engine):
        self.generator, self.dialect = TransformersGenerator(model, own=True), dialect
        self.plan: deque[str] = deque()
        self.asked: Counter[str] = Counter()  # calls, by path
        self.at_once = self.most_at_once = 0  # completions under way
        self.lock, self.alone = threading.Lock(), threading.Lock()
        self.release = threading.Event()  # lets go what hangs
        handler = type("Bound", (Handler,), {"server_of": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Server:
        self.thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.release.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def answer(self, path: str, given: Any) -> tuple[int, Any]:
        with self.lock:
            self.asked[path] += 1
        vllm = self.dialect.name == "vllm"
        if path == "/v1/models":
            return 200, {"data": [{"id": "tiny", "object": "model", "owned_by": self.dialect.name}]}
        if path == "/v1/completions":
            return self.complete(given)
        if vllm and path == "/collective_rpc" and given["method"] == "reload_weights":
            return self.reload(given["kwargs"]["weights_path"])
        if vllm and path == "/reset_prefix_cache":
            return 200, None
        if vllm and path == "/sleep?level=1":
            return 200, self.generator.sleep()
        if vllm and path == "/wake_up":
            return 200, self.generator.wake()
        return 404, {"detail": "Not Found"}

    def reload(self, folder: str) -> tuple[int, Any]:
        index = json.loads(Path(folder, "model.safetensors.index.json").read_text())["weight_map"]
        files = {file: safe_open(str(Path(folder, file)), framework="pt") for file in set(index.values())}
        try:
            with self.alone:
                self.generator.update(((name, files[file].get_tensor(name)) for name, file in index.items()), 0)
        except Exception as error:
            return 500, {"error": {"message": str(error)}}
        return 200, {"results": [None]}

    def complete(self, given: Any) -> tuple[int, Any]:
        unknown = set(given) - {
            "model", "prompt", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop_token_ids", "ignore_eos",
            *self.dialect.fields,
        }  # fmt: skip
        if unknown:  # as TensorRT-LLM's schema does
            return 400, {"message": f"unknown fields {sorted(unknown)}"}
        with self.lock:
            word = self.plan.popleft() if self.plan else ""
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if word.isdigit():
                return int(word), {"error": {"message": f"told to answer {word}"}}
            if word == "hang":
                self.release.wait()
            with self.alone:
                return 200, self.spoilt(self.completion(given), word)
        finally:
            with self.lock:
                self.at_once -= 1

    def completion(self, given: Any) -> Any:
        sampling = Sampling(
            given["max_tokens"], given["temperature"], given["top_p"], given["top_k"], tuple(given["stop_token_ids"])
        )
        (made,) = self.generator.generate([Request(np.array(given["prompt"]), given["seed"])], sampling)
        tokens = made.tokens.tolist()
        choice = {
            "index": 0,
            "text": "",
            "token_ids": tokens,
            "finish_reason": made.finish,
            "logprobs": {"tokens": [f"token_id:{t}" for t in tokens], "token_logprobs": made.logprobs.tolist()},
        }
        return {"id": "cmpl-1", "object": "text_completion", "model": "tiny", "choices": [choice]}

    def spoilt(self, answer: Any, word: str) -> Any:
        choice = answer["choices"][0]
        if word == "short":
            choice["token_ids"].pop()
        elif word == "no logprobs":
            choice["logprobs"] = None
        elif word == "null logprob":
            choice["logprobs"]["token_logprobs"][0] = None
        elif word == "no ids":
            del choice["token_ids"]
        elif word == "text":
            del choice["token_ids"]
            choice["logprobs"]["tokens"] = ["a"] * len(choice["logprobs"]["tokens"])
        elif word == "cut":
            choice["finish_reason"] = "length"
            for row in (choice["token_ids"], choice["logprobs"]["token_logprobs"]):
                del row[2:]
        elif word == "other end":
            choice["finish_reason"] = "abort"
        elif word == "false stop":
            choice["finish_reason"], choice["token_ids"][-1] = "stop", 50
        return [] if word == "list" else answer


class Handler(BaseHTTPRequestHandler):
    """Hands calls to the server it belongs to."""

    server_of: Server

    def do_GET(self) -> None:
        self.reply(None)

    def do_POST(self) -> None:
        self.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"])) or "null"))

    def reply(self, given: Any) -> None:
        status, answer = self.server_of.answer(self.path, given)
        content = b"" if answer is None else json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            pass  # the client gave up

    def log_message(self, *said: object) -> None:
        """Say nothing."""
