"""The names under which objectives find in `TokenBatch.fields` what a forward pass does not give."""

from __future__ import annotations

from torch import Tensor

from align.batch import TokenBatch
from align.errors import DataError
from align.losses.reduce import keep

FIELDS = {
    "reference_logprobs": "(n, t) nats, of the reference",
    "old_logprobs": "(n, t) nats, of the policy that drew the tokens, at the trainer; of SteerLM 2 the proposal's",
    "advantages": "(n, t)",
    "importance": "(n, t) weights of tokens that another engine or older weights drew; without it: 1",
    "returns": "(n, t), that a critic learns",
    "old_values": "(n, t), of the critic before its step",
    "margin": "(n,) strength of a preference",
    "chosen_reward": "(n,) of the pair's chosen side, for rpo",
    "rejected_reward": "(n,) of the pair's rejected side, for rpo",
    "desirable": "(n,) 1 or 0",
    "kl_baseline": "(n,) KTO's reference point, the same for all",
    "attributes": "(n, k); NaN: not rated",
    "weights": "(n,) a prompt's wanted shares of its completions, summing to 1, for SteerLM 2",
    "candidates": "(n, t, k) int64 tokens whose log-probabilities are compared",
    "teacher_logprobs": "(n, t, k) nats, of candidates",
}


def real(batch: TokenBatch) -> Tensor:
    """Return bool (n,): sequences that are no filler."""
    return batch.example >= 0


def of_sequences(batch: TokenBatch, name: str, like: Tensor) -> Tensor:
    """Return a field of `like`'s shape; zeros for a filler batch, which need not have it.

    Raises DataError where it is missing, or has another shape: broadcast, it would give another loss.
    """
    found = batch.fields.get(name)
    if found is not None and found.shape == like.shape:
        return found
    if not bool(real(batch).any()):
        return like.new_zeros(like.shape)
    if found is not None:
        raise DataError(f"field {name} of a batch has shape {tuple(found.shape)}, not {tuple(like.shape)}")
    given = ", ".join(sorted(batch.fields)) or "none"
    raise DataError(f"a batch lacks the field {name}, {FIELDS[name]}. Fields given: {given}")


def of_tokens(batch: TokenBatch, name: str, like: Tensor) -> Tensor:
    """Return a field of `like`'s shape, (n, t, ...), with 0 outside the mask. Raises as `of_sequences`."""
    return keep(of_sequences(batch, name, like), batch.mask)


def sides(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return (p, ...) of chosen and of rejected sequences, which stand side by side: 2i and 2i + 1."""
    even = len(values) // 2 * 2  # a filler may be a single sequence, and no pair
    return values[0:even:2], values[1:even:2]
