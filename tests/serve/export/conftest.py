import pytest

from tests.serve.export import models


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    """Return the folder of a Llama of random weights in bfloat16."""
    return models.save(tmp_path_factory.mktemp("llama") / "small", dtype="bfloat16")


@pytest.fixture(scope="session")
def scoring(tmp_path_factory):
    """Return the folder of a reward model of two scores."""
    return models.save(tmp_path_factory.mktemp("reward") / "judge", scores=2)
