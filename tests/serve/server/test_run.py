"""The command: what it says, signals, and settings that cannot be."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pipelines.cli import main
from tests.serve.server.serving import events, until

ROOT = Path(__file__).parents[3]


@contextmanager
def command(folder, tmp_path, *more):
    """Run `millrace serve` as a process of its own; give it, its address and its lines so far."""
    log = tmp_path / "log.jsonl"
    arguments = [folder, "--port", "0", "--log", str(log), *more]
    made = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "serve", *arguments], stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    lines = []
    try:
        for line in made.stderr:
            lines.append(line)
            if line.startswith("address"):
                break
        assert lines[-1].startswith("address"), lines
        yield made, lines[-1].split()[1].removesuffix("/v1"), lines
    finally:
        made.kill()
        made.stderr.close()
        made.wait()


@pytest.mark.slow
def test_it_says_what_is_served_drains_at_sigterm_and_ends_well(folder, tmp_path):
    with command(folder, tmp_path, "--drain-seconds", "20") as (process, url, lines):
        told = "".join(lines)
        assert re.search(r"^model     tiny, a language model$", told, re.MULTILINE)
        assert "context   256 tokens" in told
        assert f"log       {tmp_path}/log.jsonl" in told
        body = {"prompt": "the quick", "max_tokens": 200, "ignore_eos": True, "stream": True, "n": 8}
        streams = []
        with httpx.Client(base_url=url, timeout=60) as client:
            asking = threading.Thread(target=lambda: streams.append(client.post("/v1/completions", json=body)))
            asking.start()
            until(lambda: "millrace_requests_running 1" in httpx.get(f"{url}/metrics").text, 20)
            process.send_signal(signal.SIGTERM)
            until(lambda: httpx.get(f"{url}/health").status_code == 503)
            assert httpx.get(f"{url}/health").json() == {"status": "draining"}
            refused = httpx.post(f"{url}/v1/completions", json={"prompt": "a"})
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "shutting_down"
            asking.join()
        told = events(streams[0].text)
        assert told[-1] == "[DONE]"
        assert [c["finish_reason"] for one in told[:-1] for c in one["choices"] if c["finish_reason"]] == ["length"] * 8
        assert process.wait(20) == 0


@pytest.mark.slow
def test_what_does_not_end_in_time_is_told_so_and_a_second_signal_ends_at_once(folder, tmp_path):
    body = {"prompt": "the quick", "max_tokens": 250, "ignore_eos": True, "stream": True, "n": 32}
    with command(folder, tmp_path, "--drain-seconds", "0") as (process, url, _):
        with httpx.stream("POST", f"{url}/v1/completions", json=body, timeout=60) as response:
            lines = response.iter_lines()
            next(lines)
            process.send_signal(signal.SIGTERM)
            last = [line for line in lines if line][-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "shutting_down"
        assert process.wait(20) == 0
    with (
        command(folder, tmp_path, "--drain-seconds", "60") as (process, url, _),
        httpx.stream("POST", f"{url}/v1/completions", json=body | {"logprobs": 20}, timeout=60) as response,
    ):
        lines = response.iter_lines()  # it is kept: a generator that is gone would end the connection
        next(lines)
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{url}/health").status_code == 503)
        begun = time.perf_counter()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 128 + signal.SIGTERM
        assert time.perf_counter() - begun < 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--upstream"),
        (["FOLDER", "--upstream", "http://localhost:1"], "one of them"),
        (["/nowhere/at/all"], "/nowhere/at/all does not exist"),
        (["FOLDER", "--port", "70000"], "65535"),
        (["FOLDER", "--set", "server.max_wait=1"], "Did you mean max_waiting?"),
        (["FOLDER", "--set", "server.max_tokens=0"], "more than 0"),
        (["FOLDER", "--set", "server.seconds=.nan"], "seconds"),
        (["FOLDER", "--set", "server.max_body_mb=.inf"], "max_body_mb is inf; it must be a finite number"),
        (["FOLDER", "--set", "engine.max_batch=0"], "max_batch"),
        (["FOLDER", "--keys", "/nowhere/keys"], "/nowhere/keys"),
        (["FOLDER", "--adapter", "name"], "NAME=FOLDER"),
        (["FOLDER", "--adapter", "name=/nowhere"], "/nowhere"),
        (["FOLDER", "--rails", "/nowhere/rails.yaml"], "/nowhere/rails.yaml"),
        (["FOLDER", "--host", "no.such.host.invalid"], "cannot listen"),
        (["FOLDER", "--set", "server.template=chatmml"], "Did you mean chatml?"),
        (["--upstream", "localhost"], "an address"),
        (["--upstream", "http://localhost:1", "--adapter", "a=b"], "has its own"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(folder, capsys, arguments, word):
    port = [] if "--port" in arguments else ["--port", "0"]
    code = main(["serve", *(folder if one == "FOLDER" else one for one in arguments), *port])
    said = capsys.readouterr().err.strip().splitlines()
    assert code in (1, 2)
    assert len(said) == 1, said
    assert word in said[0]


def test_a_port_that_is_taken_is_said_so(server, folder, capsys):
    port = server.url.rpartition(":")[2]
    assert main(["serve", folder, "--port", port]) == 2
    assert f"cannot listen at 127.0.0.1 port {port}" in capsys.readouterr().err


def test_what_runs_ends_before_the_server_does(folder, tmp_path):
    """As at SIGTERM, on a thread."""
    from tests.serve.server.serving import served

    answers = []
    with served(folder, tmp_path / "log.jsonl") as server:
        body = {"prompt": "the quick", "max_tokens": 100, "ignore_eos": True}
        asking = threading.Thread(target=lambda: answers.append(server.complete(**body)))
        asking.start()
        until(lambda: server.engine.load().running == 1)
    asking.join()
    assert answers[0]["usage"]["completion_tokens"] == 100


def test_a_server_that_loads_says_so(tmp_path):
    import asyncio

    from serve.errors import ModelFolderError
    from serve.server.settings import ServerSettings
    from tests.serve.server.serving import running

    seen = []

    async def opening(front):
        address = front.settings.port
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{address}") as client:
            seen.append((await client.get("/health")).json())
            seen.append((await client.post("/v1/completions", json={"prompt": "a"})).json()["error"]["code"])
        await asyncio.sleep(0)
        raise ModelFolderError("no model after all")

    with (
        pytest.raises(ModelFolderError, match="no model after all"),
        running(opening, ServerSettings(port=free_port(), log=str(tmp_path / "log.jsonl"))),
    ):
        pass
    assert seen == [{"status": "starting"}, "starting"]


def free_port():
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]
