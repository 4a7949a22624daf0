"""A real HTTP server of /v1/chat/completions on a loopback port, whose answers a function makes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], str | tuple[int, bytes]]  # request -> content, or status and body


class Served:
    """What a server was asked, and how much of it at once."""

    def __init__(self, url: str):
        self.url = url
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.now = self.most = 0
        self.lock = threading.Lock()


@contextmanager
def served(answer: Answer) -> Iterator[Served]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with seen.lock:
                seen.requests.append(body | {"path": self.path})
                seen.headers.append(dict(self.headers))
                seen.now += 1
                seen.most = max(seen.most, seen.now)
            made = answer(body)
            with seen.lock:
                seen.now -= 1
            status, content = made if isinstance(made, tuple) else (200, completion(made))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *given: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *given: Any) -> None:
            pass  # a client that went away

    with Server(("127.0.0.1", 0), Handler) as server:
        seen = Served(f"http://127.0.0.1:{server.server_port}/v1")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


def completion(content: object) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]}).encode()
