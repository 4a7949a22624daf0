import pytest

from tests.align import tiny
from tests.serve.server.serving import served


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Return the folder of a model of random weights with a chat template."""
    return tiny.model(tmp_path_factory.mktemp("served") / "tiny")


@pytest.fixture(scope="session")
def server(folder, tmp_path_factory):
    """Return a server that whatever changes nothing may share."""
    with served(folder, tmp_path_factory.mktemp("log") / "log.jsonl") as one:
        one.complete("the", max_tokens=2)  # the engine's first step compiles
        yield one
