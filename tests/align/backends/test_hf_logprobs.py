"""Chunked log-probabilities against torch's, in float64."""

import pytest
import torch

from align.backends.hf import logprobs as module
from align.backends.hf.logprobs import most_likely, token_logprobs


@pytest.mark.parametrize("chunk", [1 << 22, 40])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_numbers_and_gradients_are_those_of_a_log_softmax(monkeypatch, chunk, temperature):
    monkeypatch.setattr(module, "CHUNK", chunk)
    torch.manual_seed(0)
    logits = torch.randn(7, 13) * 3
    labels, candidates = torch.randint(13, (7,)), torch.randint(13, (7, 4))
    weights = [torch.randn(7), torch.randn(7, 4), torch.randn(7)]

    ours = logits.clone().requires_grad_()
    made = token_logprobs(ours * 1, labels, temperature, candidates=candidates, entropy=True)
    sum((value * weight).sum() for value, weight in zip(made, weights, strict=True)).backward()

    theirs = logits.double().requires_grad_()
    whole = (theirs / temperature).log_softmax(-1)
    expected = [whole.gather(-1, labels[:, None])[:, 0], whole.gather(-1, candidates), -(whole.exp() * whole).sum(-1)]
    sum((value * weight).sum() for value, weight in zip(expected, weights, strict=True)).backward()

    for value, wanted in zip(made, expected, strict=True):
        torch.testing.assert_close(value.double(), wanted, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-5, atol=1e-6)


def test_the_gradient_takes_the_place_of_the_logits():
    leaf = torch.randn(5, 11, requires_grad=True)
    logits = leaf * 1
    seen = []
    logits.register_hook(lambda gradient: seen.append(gradient.data_ptr()))
    token_logprobs(logits, torch.arange(5), 1.0)[0].sum().backward()
    assert seen == [logits.data_ptr()]


def test_a_second_backward_pass_is_refused():
    logits = torch.randn(5, 11, requires_grad=True) * 1
    total = token_logprobs(logits, torch.arange(5), 1.0)[0].sum()
    total.backward()
    with pytest.raises(RuntimeError, match="second time"):
        total.backward()


def test_the_most_likely_tokens_come_with_their_logprobs(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 30)
    logits = torch.randn(6, 11)
    tokens, found = most_likely(logits, 2.0, 3)
    values, expected = (logits / 2).log_softmax(-1).topk(3, -1)
    assert torch.equal(tokens, expected)
    torch.testing.assert_close(found, values)
