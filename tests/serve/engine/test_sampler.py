import numpy as np
import pytest
import torch

from align.rollout import sampling
from align.rollout.generator import Sampling
from serve.engine.request import Drawing
from serve.engine.sampler import Row, draw

VOCABULARY = 50


def logits_of(rows, seed=0):
    return 3 * torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def row(drawn=(), top=0, **drawing):
    return Row(Drawing(**drawing), list(drawn), top)


@pytest.mark.parametrize(
    "how", [{}, {"temperature": 0.0}, {"temperature": 0.6}, {"top_k": 4}, {"top_p": 0.7}, {"top_k": 9, "top_p": 0.5}]
)
def test_draws_what_align_draws(how):
    logits, count = logits_of(40), 40
    seeds = torch.arange(-20, count - 20) * 10**15
    places = torch.arange(count) % 5
    rows = [row([1] * int(place), seed=int(seed) % 2**64, **how) for seed, place in zip(seeds, places)]
    drawn = draw(logits, rows)
    tokens, _ = sampling.draw(logits, Sampling(**how), seeds, places)
    assert drawn.tokens.tolist() == tokens.tolist()
    whole = logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
    np.testing.assert_allclose(drawn.logprobs, whole.numpy(), atol=1e-5)


def test_a_row_is_drawn_the_same_beside_any_others():
    logits = logits_of(24)
    kinds = [
        {"temperature": 0.0}, {}, {"top_p": 0.6}, {"top_k": 3, "min_p": 0.1}, {"presence_penalty": 1.5},
        {"logit_bias": ((3, 9.0),)},
    ]  # fmt: skip
    rows = [row([4, 4, number % 7], number % 3, seed=number, **kinds[number % 6]) for number in range(24)]
    together = draw(logits, rows)
    for number, one in enumerate(rows):
        alone = draw(logits[number : number + 1], [one])
        assert (alone.tokens[0], alone.logprobs[0]) == (together.tokens[number], together.logprobs[number])
        assert alone.top[0] == together.top[number]


def test_frequencies_are_the_probabilities():
    logits = logits_of(1, 5)
    count = 4000
    drawn = draw(logits.expand(count, -1), [row(seed=seed, temperature=1.5, min_p=0.05) for seed in range(count)])
    wanted = (logits[0] / 1.5).softmax(-1)
    wanted[wanted < 0.05 * wanted.max()] = 0
    wanted = (wanted / wanted.sum()).numpy()
    found = np.bincount(drawn.tokens, minlength=VOCABULARY) / count
    assert (found[wanted == 0] == 0).all()
    assert np.abs(found - wanted).max() < 4 * np.sqrt(0.25 / count)


def test_penalties_and_biases_change_what_is_drawn_and_not_its_logprob():
    logits = torch.zeros(3, VOCABULARY)
    logits[:, 7], logits[:, 8] = 2.0, 1.5
    rows = [
        row([7], temperature=0.0, presence_penalty=0.6),  # 1.4 < 1.5
        row([7, 7], temperature=0.0, frequency_penalty=0.2),  # 1.6 > 1.5
        row(temperature=0.0, logit_bias=((9, 3.0), (7, -1.0))),
    ]
    drawn = draw(logits, rows)
    assert drawn.tokens.tolist() == [8, 7, 9]
    whole = logits.log_softmax(-1)
    np.testing.assert_allclose(drawn.logprobs, [whole[0, 8], whole[1, 7], whole[2, 9]], atol=1e-6)


def test_the_most_likely_are_told_as_asked():
    logits = logits_of(3)
    drawn = draw(logits, [row(top=2, temperature=0.0), row(), row(top=VOCABULARY)])
    assert [len(found) for found in drawn.top] == [2, 0, VOCABULARY]
    assert drawn.top[0][0] == (drawn.tokens[0], pytest.approx(float(drawn.logprobs[0]), abs=1e-6))
    assert sum(np.exp(logprob) for _, logprob in drawn.top[2]) == pytest.approx(1, abs=1e-5)


def test_a_row_of_no_numbers_has_no_logprob():
    logits = logits_of(2)
    logits[1, 3] = float("nan")
    drawn = draw(logits, [row(), row()])
    assert np.isfinite(drawn.logprobs).tolist() == [True, False]
