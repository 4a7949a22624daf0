"""Clients that are slow, leave, or take too long."""

import json
import socket
import time

import httpx
import pytest

from serve.engine.settings import EngineSettings
from tests.serve.server.serving import events, served, until


@pytest.fixture(scope="module")
def short(folder, tmp_path_factory):
    """Return a server of short patience, whose model takes long contexts."""
    with served(
        folder, tmp_path_factory.mktemp("log") / "log.jsonl", header_seconds=0.4, body_seconds=0.4, send_seconds=0.5,
        seconds=1.5, keep_alive_seconds=1.0, engine=EngineSettings(max_batch=4),
    ) as one:  # fmt: skip
        yield one


def head(length, path="/v1/completions"):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def everything(one):
    one.settimeout(5)
    answer = b""
    while part := one.recv(1 << 16):
        answer += part
    return answer


def endless(**more):
    """Return a request that goes on until the context ends."""
    return {"prompt": "the quick", "max_tokens": 250, "ignore_eos": True, "seed": 1, **more}


@pytest.mark.parametrize("begun", [b"", b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_headers_that_do_not_come_end_the_connection(short, begun):
    with short.socket() as one:
        one.sendall(begun)
        start = time.perf_counter()
        answer = everything(one)
    assert time.perf_counter() - start < 2
    assert answer.startswith(b"HTTP/1.1 408") if begun else answer == b""


def test_headers_of_a_second_request_are_waited_for_no_longer(short):
    with short.socket() as one:
        one.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert one.recv(1 << 16).startswith(b"HTTP/1.1 200")
        one.sendall(b"GET /health HTTP/1.1\r\nX: ")
        assert b"408" in everything(one)


def test_a_body_that_does_not_come_is_answered_with_408(short):
    with short.socket() as one:
        one.sendall(head(100) + b'{"prompt":')
        answer = everything(one)
    assert answer.startswith(b"HTTP/1.1 408")
    assert json.loads(answer.split(b"\r\n\r\n")[1])["error"]["code"] == "body_timeout"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_its_completions_in_the_engine(server, stream):
    content = json.dumps(endless(stream=stream, n=4)).encode()
    with server.socket() as one:
        one.sendall(head(len(content)) + content)
        until(lambda: server.engine.load().running == 4)
        drawn = server.engine.load().tokens
    until(lambda: server.engine.load().running == 0, 1.0)
    assert server.engine.load().tokens - drawn < 4 * 250 - 100
    until(lambda: server.front.under_way == 0)
    server.line(status=499)


def test_a_client_that_leaves_while_it_waits_gives_its_place_up(folder, tmp_path):
    with served(folder, tmp_path / "log.jsonl", max_running=1, max_completions=1) as server:
        content = json.dumps(endless()).encode()
        sockets = [server.socket() for _ in range(3)]
        for one in sockets:
            one.sendall(head(len(content)) + content)
        until(lambda: server.front.admission.waiting == 2)
        sockets[1].close()
        until(lambda: server.front.admission.waiting == 1)
        sockets[0].close()
        until(lambda: server.front.admission.waiting == 0 and server.front.admission.running == 1)
        sockets[2].close()
        until(lambda: server.front.admission.running == 0)


def test_a_request_that_takes_too_long_gets_504_or_an_event(folder, tmp_path):
    with served(folder, tmp_path / "log.jsonl", seconds=0.05) as server:
        assert server.refused(endless(), 504)["code"] == "timeout"
        told = events(server.post("/v1/completions", endless(stream=True)).text)
        assert told[-1] == "[DONE]" or told[-1]["error"]["code"] == "timeout"
        until(lambda: server.engine.load().running == 0)


def test_a_reader_that_reads_nothing_holds_neither_engine_nor_connection(folder, tmp_path):
    with served(folder, tmp_path / "log.jsonl", send_seconds=0.3, max_completions=32) as server:
        content = json.dumps(endless(stream=True, n=32, logprobs=20)).encode()
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((httpx.URL(server.url).host, httpx.URL(server.url).port))
        one.sendall(head(len(content)) + content)
        until(lambda: server.front.under_way == 1)
        until(lambda: server.front.under_way == 0, 20)
        until(lambda: server.engine.load().running == 0)
        until(lambda: any(line["status"] == 499 for line in server.lines()))
        assert len(server.front.connections) <= 1
        one.close()


def test_more_connections_than_may_be_are_answered_and_closed(folder, tmp_path):
    with served(folder, tmp_path / "log.jsonl", max_connections=3) as server:
        held = [server.socket() for _ in range(3)]
        until(lambda: len(server.front.connections) == 3)
        with server.socket() as one:
            answer = everything(one)
        assert b"too_many_connections" in answer
        assert answer.startswith(b"HTTP/1.1 503")
        for one in held:
            one.close()
        until(lambda: not server.front.connections)
        assert server.complete("the", max_tokens=1)


def test_an_end_by_force_is_not_of_another_connection_with_the_same_port(server):
    """A port is free again as soon as its connection ends, which a server that is busy hears later."""

    def healthy():
        one.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += one.recv(1 << 16)
        return answer.startswith(b"HTTP/1.1 200")

    with server.socket() as one:
        assert healthy()
        host, port = one.getsockname()
        assert (host, port) in [client for client, _ in server.front.connections.values()]
        server.front.abort((host, port))
        assert healthy()
