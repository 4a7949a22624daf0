import pytest

from tests.align import tiny


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Return the folder of a model of random weights."""
    return tiny.model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def other(tmp_path_factory):
    """Return the folder of another model with the same tokenizer."""
    return tiny.model(tmp_path_factory.mktemp("other"), seed=1, hidden=64)


@pytest.fixture(scope="session")
def foreign(tmp_path_factory):
    """Return the folder of a model with another tokenizer."""
    return tiny.model(tmp_path_factory.mktemp("foreign"), vocab_size=300)
