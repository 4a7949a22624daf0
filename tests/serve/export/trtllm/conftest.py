import pytest

from serve.export.folder import FolderSource
from tests.serve.export.trtllm import models


@pytest.fixture(scope="session")
def sources(tmp_path_factory):
    """Return the model of a name of models.KINDS, with configuration fields changed, as a source of exports."""
    made = {}

    def source(name, **changed):
        key = name, *changed.items()
        if key not in made:
            made[key] = models.folder(name, tmp_path_factory.mktemp(name), **changed)
        return FolderSource(name, made[key])

    return source
