"""How a token is drawn, by random numbers that belong to a request and to nothing else.

The number for token i of a completion is a hash of (the request's seed, i), made of integer operations that are the
same on every device. So a request gives the same tokens in any batch, order, chunk and worker, as far as its logits
are the same: a draw turns out otherwise where logits that differ in their last bits move a bound of the distribution
past the number, about once in a million draws in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from align.errors import AlignSettingsError
from align.rollout.generator import Sampling

RATIO_METHODS = {
    "ppo": "clips the ratio of new to old probabilities",
    "grpo": "clips the ratio of new to old probabilities",
    "reinforce": "takes log-probabilities of what was drawn for those of the policy",
    "steerlm": "weighs completions by the policy's probabilities over those that drew them",
}
# The multipliers of splitmix64, as signed numbers.
GOLDEN = 0x9E3779B97F4A7C15 - 2**64
MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
MIX_2 = 0x94D049BB133111EB - 2**64


def draw(logits: Tensor, sampling: Sampling, seeds: Tensor, position: Tensor | int) -> tuple[Tensor, Tensor]:
    """Draw the next token of each row: tokens (b,) int64, and their log-probabilities (b,) float32, nats.

    logits (b, vocab) of any float; seeds (b,) int64, of the requests; position: how many tokens the completion has
    already, an int or (b,) int64. The log-probability is that of the whole distribution at `sampling.temperature`,
    which top-k and top-p do not change; at temperature 0 the token is the most likely one (the first of equals), and
    its log-probability that at temperature 1. A row without one finite logit, or with a NaN, gives NaN.

    One number is drawn for a row, and looked up in the cumulative distribution: O(b vocab), and a sort with top_k or
    top_p.
    """
    logits = logits.float()
    if sampling.temperature == 0:
        tokens = logits.argmax(-1)
        return tokens, logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0]
    logprobs = (logits if sampling.temperature == 1 else logits / sampling.temperature).log_softmax(-1)
    order, probabilities = None, logprobs.exp()
    if sampling.top_p < 1 or 0 < sampling.top_k < logits.shape[-1]:
        order, probabilities = truncate(probabilities, sampling)
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    target = uniform(seeds, position)[:, None] * cumulative[:, -1:]
    # The first cell above the target, which is below the last one: never a token of probability 0.
    cells = torch.searchsorted(cumulative, target, right=True).clamp_(max=logits.shape[-1] - 1)
    tokens = cells if order is None else order.gather(-1, cells)
    return tokens[:, 0], logprobs.gather(-1, tokens)[:, 0]


def truncate(probabilities: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Sort (b, vocab) by falling probability and leave the top k and of these the top p; return (order, what is left).

    The top p are the fewest tokens that hold at least p of the mass of the top k (Holtzman et al. 2020).
    """
    ordered, order = probabilities.sort(dim=-1, descending=True, stable=True)
    if sampling.top_k:
        ordered[:, sampling.top_k :] = 0
    if sampling.top_p < 1:
        before = ordered.cumsum(-1, dtype=torch.float64) - ordered
        ordered[before >= sampling.top_p * ordered.sum(-1, keepdim=True, dtype=torch.float64)] = 0
    return order, ordered


def uniform(seeds: Tensor, position: Tensor | int) -> Tensor:
    """Return one float64 in (0, 1) for each (seed, position), with 52 random bits.

    splitmix64 (Steele, Lea and Flood 2014): its stream that starts at the hash of the seed, at this position.
    """
    step = torch.as_tensor(position, dtype=torch.int64, device=seeds.device) + 1
    bits = _mix(_mix(seeds.long() + GOLDEN) + step * GOLDEN)
    return (_shift(bits, 12).double() + 0.5) * 2.0**-52


def _mix(x: Tensor) -> Tensor:
    """Hash int64 to int64, one to one."""
    x = (x ^ _shift(x, 30)) * MIX_1
    x = (x ^ _shift(x, 27)) * MIX_2
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift the 64 bits right, with zeros from the left."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def check(sampling: Sampling) -> None:
    """Refuse a sampling that draws nothing. Raises AlignSettingsError."""
    wrong = {
        "max_tokens is at least 1": sampling.max_tokens >= 1,
        "temperature is 0 or more, and finite": 0 <= sampling.temperature < float("inf"),
        "top_p is above 0 and at most 1": 0 < sampling.top_p <= 1,
        "top_k is 0 (all) or more": sampling.top_k >= 0,
    }
    for rule, holds in wrong.items():
        if not holds:
            name = rule.split()[0]
            raise AlignSettingsError(f"rollouts.{name} is {getattr(sampling, name)}: {rule}")


def refuse_biased(sampling: Sampling, method: str) -> None:
    """Refuse a sampling whose completions are not draws from the policy, for a method that takes them as such.

    With top-p, top-k or temperature 0 the probability that a token was drawn with is not the policy's, so every ratio
    of the two is off, and the gradient biased. Raises AlignSettingsError.
    """
    reason = RATIO_METHODS.get(method)
    kept = {"top_p": sampling.top_p == 1, "top_k": sampling.top_k == 0, "temperature": sampling.temperature > 0}
    for name, unbiased in kept.items():
        if reason and not unbiased:
            asked = {"top_p": "1", "top_k": "0", "temperature": "more than 0"}[name]
            raise AlignSettingsError(
                f"rollouts.{name} {getattr(sampling, name)} biases {method}, which {reason}: tokens cut off by it have "
                f"a probability that they were not drawn with. Set {name} to {asked}"
            )
