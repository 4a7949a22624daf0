"""Log-probabilities of the model training starts from: computed once and kept, or asked for as they are needed."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import xxhash

from align.batch import Example, TokenSequence
from align.policy import Policy
from align.run.evaluate import of_logprobs
from align.run.job import Job
from align.run.measure import Layout, measure
from millrace import storage

FIELD = "reference_logprobs"


class Reference:
    """The model before training, asked anew each time: the policy with its adapters off, else a frozen copy."""

    def __init__(self, job: Job, actor: Policy | None):
        self._adapters = job.config.model.peft is not None
        self._policy = actor if self._adapters else job.policy("reference")
        self._layout = job.layout()

    def annotated(self, examples: Sequence[Example]) -> list[Example]:
        """Return examples whose sequences carry the field "reference_logprobs"."""
        off = self._policy.reference() if self._adapters and self._policy is not None else nullcontext()
        with off:
            given = measure(self._policy, examples, self._layout, of_logprobs)
        return with_fields(examples, FIELD, given)


class ReferenceCache:
    """What the reference gives for each sequence's tokens: RUN/work/reference.npz, 4 bytes a token and 16 a sequence.

    A sequence is found by the hash of its tokens, so that one that returns in a later epoch or another pair is
    computed once. All of a run's sequences are computed before its first step, with the policy itself, which then
    still is the reference: no second copy of the model is ever loaded.
    """

    def __init__(self) -> None:
        self._found: dict[bytes, np.ndarray] = {}

    def fill(
        self, policy: Policy | None, batches: Iterable[Sequence[Example]], layout: Layout, tick: Callable[[], None]
    ) -> None:
        """Compute every sequence of `batches` that is not there yet; by all ranks together.

        `tick` is called after each batch.
        """
        for examples in batches:
            fresh = {_key(one): one for example in examples for one in example.sequences}
            fresh = {key: one for key, one in fresh.items() if key not in self._found}
            asked = [Example("", (one,)) for one in fresh.values()]
            given = measure(policy, asked, layout, of_logprobs)
            self._found.update({key: value for key, (value,) in zip(fresh, given, strict=True)})
            tick()

    def write(self, url: str, of: str) -> None:
        """Write all there is. `of`: the model and the data, in words that tell them from others."""
        keys = sorted(self._found)
        kept = io.BytesIO()
        np.savez(
            kept, of=np.array(of), keys=np.array([np.frombuffer(key, np.uint8) for key in keys]).reshape(-1, 16),
            lengths=np.array([len(self._found[key]) for key in keys]),
            logprobs=np.concatenate([self._found[key] for key in keys] or [np.zeros(0, np.float32)]),
        )  # fmt: skip
        storage.write_bytes(url, kept.getvalue())

    def read(self, url: str, of: str) -> bool:
        """Take what `write` wrote of the same model and data; return whether there was such a file."""
        if not storage.exists(url):
            return False
        with np.load(io.BytesIO(storage.read_bytes(url))) as kept:
            if kept["of"].item() != of:
                return False
            keys, lengths, logprobs = (kept[name] for name in ("keys", "lengths", "logprobs"))
        for key, end, length in zip(keys, np.cumsum(lengths), lengths):
            self._found[key.tobytes()] = logprobs[end - length : end]
        return True

    def annotated(self, examples: Sequence[Example]) -> list[Example]:
        """Return examples whose sequences carry the field "reference_logprobs". All must have been filled in."""
        return with_fields(examples, FIELD, [[self._found[_key(one)] for one in e.sequences] for e in examples])


def with_fields(examples: Sequence[Example], name: str, values: Sequence[Sequence[np.ndarray]]) -> list[Example]:
    """Return examples with one more field of their sequences' tokens; values[i][j] is of sequence j of example i."""
    return [
        replace(example, sequences=tuple(
            replace(one, token_fields={**one.token_fields, name: value})
            for one, value in zip(example.sequences, given, strict=True)
        ))
        for example, given in zip(examples, values, strict=True)
    ]  # fmt: skip


def _key(one: TokenSequence) -> bytes:
    return xxhash.xxh3_128_digest(np.ascontiguousarray(one.tokens).tobytes())
