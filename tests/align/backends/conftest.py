"""Folders of tiny models, made once."""

from pathlib import Path

import pytest
import torch

from tests.align.backends import tiny


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A folder of each family."""
    root: Path = tmp_path_factory.mktemp("models")
    return {family: tiny.make(root / family, family) for family in ("llama", "qwen2", "gpt2", "mistral", "mixtral")}


@pytest.fixture(autouse=True, scope="package")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
