import pytest

from tests.serve.evaluate import made


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """Return the folder of a small language model."""
    return made.model(tmp_path_factory.mktemp("model"), hidden=64)


@pytest.fixture(scope="session")
def language(base):
    """Return it as a subject."""
    from serve.evaluate.local.language import Language
    from serve.model import find

    return Language.load(find(base))
