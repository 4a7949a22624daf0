"""How a server ends that cannot go on, or that was not there yet."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import main
from serve.errors import EngineStopped
from tests.serve.server.serving import served, until

ROOT = Path(__file__).parents[3]
LOADING = """
import asyncio, sys, time
from serve.server.run import blocking
from serve.server.settings import ServerSettings

async def opening(front):
    print("loading", file=sys.stderr, flush=True)
    await asyncio.to_thread(time.sleep, 60)

blocking(ServerSettings(port=0), opening, lambda line: print(line, file=sys.stderr, flush=True))
"""


def test_an_engine_that_dies_ends_the_server_with_a_line(folder, tmp_path, monkeypatch, caplog):
    with pytest.raises(EngineStopped, match="'no such block'"), served(folder, tmp_path / "log") as server:  # noqa: PT012
        monkeypatch.setattr(server.engine._scheduler, "plan", lambda: {}["no such block"])
        assert server.refused({"prompt": "the"}, 503)["message"] == "the engine was stopped"
        until(lambda: server.front.broken)
        until(lambda: server.front.state == "draining")


def test_what_comes_after_the_engines_end_is_503_and_health_tells_it(folder, tmp_path, monkeypatch, caplog):
    with pytest.raises(EngineStopped), served(folder, tmp_path / "log") as server:  # noqa: PT012
        monkeypatch.setattr(server.front, "ending", type(server.front.ending)())  # so that it goes on, to be asked
        monkeypatch.setattr(server.engine._scheduler, "plan", lambda: {}["no such block"])
        server.refused({"prompt": "the"}, 503)
        until(lambda: server.front.broken)
        assert server.refused({"prompt": "the"}, 503)["code"] == "engine_stopped"
        with server.client() as client:
            health = client.get("/health")
        assert (health.status_code, health.json()["status"]) == (503, "failing")
        assert "KeyError" in health.json()["reason"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_the_model_loads_ends_at_once_with_a_line(number):
    process = subprocess.Popen(
        [sys.executable, "-c", LOADING], stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        assert process.stderr.readline() == "loading\n"
        process.send_signal(number)
        assert process.wait(10) == 128 + number
        assert process.stderr.read() == f"stopped   by {number.name}, before the model was loaded\n"
    finally:
        process.kill()
        process.stderr.close()
        process.wait()


def test_an_adapter_may_not_have_the_models_name(folder, capsys):
    for name, more in (("tiny", []), ("other", ["--set", "server.name=other"])):
        assert main(["serve", folder, "--adapter", f"{name}=/x", "--port", "0", *more]) == 2
        assert f"{name} is the model's own name" in capsys.readouterr().err
    assert main(["serve", folder, "--adapter", "a=/x", "--adapter", "a=/y", "--port", "0"]) == 2
    assert "each name once" in capsys.readouterr().err
