import pytest
import torch

from serve.engine.settings import EngineSettings
from serve.errors import ServeSettingsError
from tests.serve.engine.models import open_small


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_batch": 0}, "max_batch is 0"),
        ({"block_tokens": 1.5}, "block_tokens is 1.5"),
        ({"blocks": -1}, "blocks is -1"),
        ({"step_tokens": 8, "max_batch": 9}, "step_tokens is 8; it must be at least max_batch 9"),
        ({"dtype": "float64"}, "dtype is 'float64'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(given, message):
    with pytest.raises(ServeSettingsError, match=message):
        EngineSettings(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"device": "tpu"}, "device is 'tpu'; known: cpu, cuda"),
        ({"device": "cuda:99"}, "this machine has [0-9]+ CUDA devices"),
        ({"blocks": 0, "cache_bytes": 5}, "cache_bytes is 5; a block of 4 tokens takes 1024"),
    ],
)
def test_what_the_machine_lacks_is_refused(given, message, llama):
    with pytest.raises(ServeSettingsError, match=message):
        open_small(llama, **given)


def test_the_cache_takes_what_is_given_and_no_more_than_is_of_use(llama):
    for given, blocks in (({"cache_bytes": 10_300}, 10), ({"cache_bytes": 1 << 30}, 8 * 24)):
        engine = open_small(llama, blocks=0, **given)
        assert engine.load().blocks == blocks
        engine.close()
    assert torch.get_num_threads() == 1
