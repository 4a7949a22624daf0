from collections.abc import Iterator

import pytest
import torch

from tests.serve.engine import models


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Two threads of torch on shared cores wait for each other longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def llama(tmp_path_factory):
    """Return the folder of a small Llama."""
    return models.make(tmp_path_factory.mktemp("llama"))
