"""Many requests, cancellations among them, under many shapes of cache and step: each as if it were alone."""

import threading

import numpy as np
import pytest

from serve.engine.request import Drawing, Wanted
from tests.serve.engine import models
from tests.serve.engine.models import Heard, complete, open_small


def requests(random, count):
    shared = random.integers(0, models.VOCABULARY, 30)
    for number in range(count):
        own = random.integers(0, models.VOCABULARY, random.integers(1, 12))
        prompt = np.concatenate([shared[: random.integers(0, 30)], own])
        drawing = Drawing(float(random.choice([0, 0.8, 1.2])), top_k=int(random.choice([0, 5])), seed=number)
        yield Wanted(prompt, int(random.integers(0, 30)), drawing, prompt_logprobs=bool(random.random() < 0.2))


@pytest.fixture(scope="module")
def alone(llama):
    engine = open_small(llama, max_batch=1, share_prefixes=False, blocks=100, step_tokens=200)
    yield engine
    engine.close()


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (0, 2, 3, 4, 5))])
def test_nothing_is_lost_mixed_up_or_left(seed, llama, alone):
    random = np.random.default_rng(seed)
    batch = int(random.integers(1, 9))
    engine = open_small(
        llama, max_batch=batch, step_tokens=batch + int(random.integers(0, 40)), max_waiting=1000,
        block_tokens=int(random.choice([1, 3, 16])), blocks=int(random.integers(80, 120)),
        share_prefixes=bool(seed % 2),
    )  # fmt: skip
    wanted = list(requests(random, 40))
    heard = [Heard() for _ in wanted]

    def client(mine):
        for place in mine:
            number = engine.submit(wanted[place], heard[place])
            if place % 5 == 0:
                engine.cancel(number)

    clients = [threading.Thread(target=client, args=(range(start, 40, 3),)) for start in range(3)]
    for one in clients:
        one.start()
    for one in clients:
        one.join()
    for ear in heard:
        ear.wait()
    assert engine.load().blocks_used == engine.load().running == engine.load().waiting == 0
    engine.close()
    for place, (ear, other) in enumerate(zip(heard, complete(alone, wanted))):
        assert ear.finish == "length" or place % 5 == 0
        assert ear.tokens == other.tokens[: len(ear.tokens)]
        assert ear.logprobs == other.logprobs[: len(ear.tokens)]  # bit by bit
        if ear.finish == "length":
            assert len(ear.tokens) == wanted[place].max_tokens
            assert ear.prompt == other.prompt
