from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from align.errors import AlignSettingsError
from align.rollout.generator import Sampling
from align.rollout.sampling import check, draw, refuse_biased, truncate, uniform

LOGITS = torch.tensor([2.0, 1.5, 1.5, 0.0, -1.0, -3.0, float("-inf"), 0.5])
CHI_SQUARE = 40.0  # 7 degrees of freedom: passed by chance once in 800,000 tables


def splitmix64(seed: int, position: int) -> float:
    """Plain Python integers: the oracle."""

    def mix(x: int) -> int:
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return x ^ x >> 31

    golden = 0x9E3779B97F4A7C15
    bits = mix((mix((seed + golden) % 2**64) + (position + 1) * golden) % 2**64)
    return ((bits >> 12) + 0.5) / 2**52


def chi_square(counts: np.ndarray, probabilities: np.ndarray) -> float:
    assert counts[probabilities == 0].sum() == 0
    seen = probabilities > 0
    expected = probabilities[seen] * counts.sum()
    return float(((counts[seen] - expected) ** 2 / expected).sum())


def drawn(sampling: Sampling, seeds: torch.Tensor, position: int | torch.Tensor) -> np.ndarray:
    tokens, _ = draw(LOGITS.expand(len(seeds), -1), sampling, seeds, position)
    return np.bincount(tokens.numpy(), minlength=len(LOGITS))


def test_numbers_against_plain_python():
    seeds = torch.tensor([0, 1, 2, 1234, 2**62, -1, -(2**63)])
    for position in (0, 1, 1000):
        expected = [splitmix64(seed % 2**64, position) for seed in seeds.tolist()]
        assert uniform(seeds, position).tolist() == expected


def test_the_first_numbers_of_splitmix64_are_those_of_its_authors():
    # Stream of state 1234567, whose first outputs are published with the reference code (Vigna, 2015).
    from align.rollout.sampling import GOLDEN, _mix

    state = torch.tensor([1234567])
    given = [int(_mix(state + torch.tensor(i + 1) * GOLDEN)) % 2**64 for i in range(3)]
    assert given == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_draws_follow_the_distribution_over_seeds_and_over_positions(temperature):
    sampling = Sampling(temperature=temperature)
    probabilities = (LOGITS.double() / temperature).softmax(-1).numpy()
    n = 40_000
    by_seed = drawn(sampling, torch.arange(n), 3)
    by_position = drawn(sampling, torch.full((n,), 7), torch.arange(n))
    assert chi_square(by_seed, probabilities) < CHI_SQUARE
    assert chi_square(by_position, probabilities) < CHI_SQUARE


def test_draws_of_neighbouring_seeds_and_positions_are_independent():
    n, bins = 40_000, 8
    cells = [(uniform(torch.arange(n) + a, b) * bins).long() for a, b in [(0, 0), (1, 0), (0, 1), (1, 1)]]
    for other in cells[1:]:
        table = np.bincount((cells[0] * bins + other).numpy(), minlength=bins * bins)
        assert chi_square(table, np.full(bins * bins, 1 / bins**2)) < 130  # 63 degrees: by chance once in 600,000


def test_truncated_draws_follow_the_renormalised_distribution():
    full = LOGITS.double().softmax(-1).numpy()
    for sampling, kept in [
        (Sampling(top_k=3), [0, 1, 2]),
        (Sampling(top_p=0.5), [0, 1]),  # 0.402, 0.244, 0.244: two hold 0.646
        (Sampling(top_k=2, top_p=0.6), [0]),  # of the two, 0 alone holds 0.622
        (Sampling(top_k=100), [0, 1, 2, 3, 4, 5, 7]),
    ]:
        expected = np.where(np.isin(np.arange(8), kept), full, 0)
        counts = drawn(sampling, torch.arange(20_000), 0)
        assert chi_square(counts, expected / expected.sum()) < CHI_SQUARE, sampling


def test_truncation_against_transformers():
    from transformers import TopKLogitsWarper, TopPLogitsWarper

    logits = torch.randn(50, 40, generator=torch.Generator().manual_seed(0)) * 3
    for top_k, top_p in [(5, 1.0), (0, 0.7), (0, 0.05), (7, 0.8), (39, 0.999)]:
        kept = TopKLogitsWarper(top_k)(None, logits) if top_k else logits
        kept = TopPLogitsWarper(top_p)(None, kept) if top_p < 1 else kept
        order, left = truncate(logits.softmax(-1), Sampling(top_k=top_k, top_p=top_p))
        ours = torch.zeros_like(logits).scatter(-1, order, left)
        assert torch.equal(ours > 0, kept.isfinite())


def test_logprobs_are_of_the_whole_distribution():
    seeds = torch.arange(200)
    for sampling in [Sampling(), Sampling(temperature=0.7), Sampling(temperature=0.7, top_k=2), Sampling(top_p=0.6)]:
        tokens, logprobs = draw(LOGITS.expand(200, -1), sampling, seeds, 0)
        expected = (LOGITS / sampling.temperature).log_softmax(-1)[tokens]
        assert torch.equal(logprobs, expected)
        assert logprobs.dtype == torch.float32


def test_a_row_is_drawn_the_same_in_any_batch_and_order():
    generator = torch.Generator().manual_seed(1)
    logits, seeds = torch.randn(64, 500, generator=generator), torch.randint(0, 2**62, (64,), generator=generator)
    position = torch.arange(64)
    for sampling in [Sampling(), Sampling(top_p=0.9, top_k=50)]:
        whole = draw(logits, sampling, seeds, position)
        shuffled = torch.randperm(64, generator=generator)
        again = draw(logits[shuffled], sampling, seeds[shuffled], position[shuffled])
        alone = [draw(logits[i : i + 1], sampling, seeds[i : i + 1], i) for i in range(64)]
        for k in range(2):
            assert torch.equal(whole[k][shuffled], again[k])
            assert torch.equal(whole[k], torch.cat([one[k] for one in alone]))


def test_greedy_takes_the_most_likely_with_its_logprob_at_temperature_one():
    tokens, logprobs = draw(LOGITS[None], Sampling(temperature=0), torch.tensor([9]), 0)
    assert tokens.tolist() == [0]
    assert logprobs.item() == LOGITS.log_softmax(-1)[0].item()


def test_one_token_and_impossible_tokens():
    one = torch.zeros(3, 1)
    for sampling in [Sampling(), Sampling(temperature=0), Sampling(top_k=1), Sampling(top_p=0.1)]:
        tokens, logprobs = draw(one, sampling, torch.arange(3), 0)
        assert tokens.tolist() == [0, 0, 0]
        assert logprobs.tolist() == [0, 0, 0]
    almost = torch.full((5000, 4), float("-inf"))
    almost[:, 2] = -1e4
    tokens, logprobs = draw(almost, Sampling(temperature=0.01), torch.arange(5000), 0)
    assert set(tokens.tolist()) == {2}
    assert set(logprobs.tolist()) == {0.0}


def test_a_broken_row_is_visible_and_leaves_the_others():
    logits = LOGITS.repeat(3, 1)
    logits[1] = float("-inf")
    logits[2, 0] = float("nan")
    _, logprobs = draw(logits, Sampling(), torch.arange(3), 0)
    assert logprobs.isnan().tolist() == [False, True, True]


def test_bfloat16_logits_are_drawn_in_float32():
    logits = LOGITS[None].bfloat16()
    _, logprobs = draw(logits, Sampling(), torch.tensor([5]), 0)
    assert logprobs.item() in logits.float().log_softmax(-1)[0].tolist()


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_tokens", 0), ("temperature", -1.0), ("temperature", float("nan")), ("top_p", 0.0), ("top_p", 1.1),
     ("top_k", -1)],
)  # fmt: skip
def test_settings_that_draw_nothing_are_refused(name, value):
    with pytest.raises(AlignSettingsError, match=rf"rollouts\.{name} is {value}"):
        check(dataclasses.replace(Sampling(), **{name: value}))


@pytest.mark.parametrize("method", ["ppo", "grpo", "reinforce", "steerlm"])
def test_truncation_is_refused_where_it_biases_the_ratio(method):
    refuse_biased(Sampling(), method)
    for name, value in {"top_p": 0.9, "top_k": 50, "temperature": 0.0}.items():
        with pytest.raises(AlignSettingsError, match=rf"rollouts\.{name} {value} biases {method}"):
            refuse_biased(dataclasses.replace(Sampling(), **{name: value}), method)


def test_truncation_is_taken_where_no_ratio_is_formed():
    for method in ("spin", "rejection_sampling", "constitutional"):
        refuse_biased(Sampling(top_p=0.9, top_k=50, temperature=0), method)
