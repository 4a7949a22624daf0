from __future__ import annotations

import numpy as np
import pytest
from torch.distributed import HashStore

from align.errors import RolloutError
from align.rollout.generator import Request, Rollout, Sampling
from align.rollout.queue import Collected, Lengths, Work, chunks, collect, gather
from align.rollout.transformers import TransformersGenerator
from tests.align.rollout.tiny import llama, requests, same

SAMPLING = Sampling(max_tokens=20, stop=(3, 9))


def rollout(length: int) -> Rollout:
    return Rollout(np.zeros(length, np.int64), np.zeros(length, np.float32), "stop", 0)


@pytest.mark.parametrize("count", [0, 1, 7, 100])
@pytest.mark.parametrize("workers", [1, 3])
def test_chunks_hold_every_request_once_longest_first_and_smallest_at_the_end(count, workers):
    asked = requests(count)
    expected = np.random.default_rng(0).permutation(count).astype(float).tolist()
    cut = chunks(asked, expected, 8, workers)
    flat = [i for one in cut for i in one]
    assert sorted(flat) == list(range(count))
    assert [expected[i] for i in flat] == sorted(expected, reverse=True)
    assert all(len(one) <= 8 for one in cut) if workers > 1 else len(cut) == bool(count)  # alone: all at once
    assert [len(one) for one in cut] == sorted((len(one) for one in cut), reverse=True)
    assert not cut or workers == 1 or len(cut[-1]) <= 8 // 4


def test_requests_of_one_prompt_stay_together():
    prompts = [np.array([1, 2]), np.array([3, 4])]
    asked = [Request(prompts[i % 2 if i < 4 else 0], i) for i in range(8)]
    cut = chunks(asked, [0.0] * 8, 8, 1)
    assert cut == [list(range(8))]  # equal in all that is known: as they came
    longer = [Request(np.arange(9), 9), *asked]
    assert chunks(longer, [0.0] * 9, 8, 1)[0][0] == 0


def test_lengths_are_learnt_by_prompt():
    lengths, asked = Lengths(), requests(3)
    assert lengths.expected(asked) == [0, 0, 0]
    lengths.learn([asked[0], asked[0], asked[1]], [rollout(10), rollout(20), rollout(3)])
    assert lengths.expected(asked) == [15, 3, 11]
    lengths.learn([asked[1]], [rollout(7)])
    assert lengths.expected(asked) == [15, 7, 10]


def test_a_queue_gives_what_the_generator_gives_in_the_order_asked():
    asked = requests(17)
    generator = TransformersGenerator(llama())
    expected = generator.generate(asked, SAMPLING)
    store, ticks = HashStore(), []
    for number, chunk in enumerate((1, 5, 100)):
        given = collect(asked, SAMPLING, generator, store, f"queue/{number}", chunk=chunk, workers=1,
                        expected=range(17), tick=lambda: ticks.append(1))  # fmt: skip
        assert all(map(same, given.rollouts, expected))
        assert 0 <= given.idle < 1
        assert given.facts()["rollout_tokens_per_second"] > 0
    assert len(ticks) == sum(len(chunks(asked, range(17), chunk, 1)) for chunk in (1, 5, 100))
    assert collect([], SAMPLING, generator, store, "none", chunk=2, workers=1).rollouts == []


def test_a_key_that_was_used_before_is_found_out():
    store, generator = HashStore(), TransformersGenerator(llama())
    collect(requests(3), SAMPLING, generator, store, "key", chunk=2, workers=1)
    with pytest.raises(RolloutError, match="3 of 3 requests were completed by no worker"):
        collect(requests(3), SAMPLING, generator, store, "key", chunk=2, workers=1)


def test_what_a_generator_refuses_is_said():
    asked = [*requests(3), Request(np.array([], np.int64), 0)]
    with pytest.raises(RolloutError, match="is empty"):
        collect(asked, SAMPLING, TransformersGenerator(llama()), HashStore(), "key", chunk=2, workers=1)


def test_idle_is_what_workers_wait_for_the_slowest():
    assert Collected([rollout(4)], (6.0, 3.0, 0.0), 6.0).idle == pytest.approx(0.5)
    made = gather(Work({0: rollout(2)}, 1.0, 2.0, 1), 1)
    assert (made.idle, made.seconds, made.facts()["rollout_tokens_per_second"]) == (0.5, 2.0, 1.0)
