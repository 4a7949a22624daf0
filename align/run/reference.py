"""Log-probabilities of the model training starts from, computed once and kept in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import xxhash

from align.batch import Example, TokenSequence
from align.policy import Policy
from align.run.measure import Layout, gathered, measure
from millrace import storage

FIELD = "reference_logprobs"


class ReferenceCache:
    """What the reference gives for each sequence's tokens: RUN/work/reference/, 4 bytes a token and 16 a sequence.

    A sequence is found by the hash of its tokens, so that one that returns in a later epoch or another pair is
    computed once. All of a run's sequences are computed before its first step, with the policy itself, which then
    still is the reference: no second copy of the model is ever loaded.
    """

    def __init__(self, folder: str):
        self._place = storage.join(folder, "work", "reference.npz")
        self._found: dict[bytes, np.ndarray] = {}

    @property
    def exists(self) -> bool:
        """Say whether an earlier attempt finished it."""
        return storage.exists(self._place)

    def load(self) -> None:
        """Read what an earlier attempt wrote."""
        import io

        with np.load(io.BytesIO(storage.read_bytes(self._place))) as kept:
            ends = np.cumsum(kept["lengths"])
            for key, end, length in zip(kept["keys"], ends, kept["lengths"]):
                self._found[key.tobytes()] = kept["logprobs"][end - length : end]

    def fill(
        self, policy: Policy | None, batches: Iterable[Sequence[Example]], layout: Layout, writes: bool,
        tick: Callable[[], None],
    ) -> None:  # fmt: skip
        """Compute every sequence of `batches` that is not there yet, and write all; by all ranks together.

        `writes`: on the one rank that writes the file. `tick` is called after each batch.
        """
        for examples in batches:
            fresh: dict[bytes, TokenSequence] = {}
            for one in (one for example in examples for one in example.sequences):
                key = _key(one)
                if key not in self._found:
                    fresh[key] = one
            asked = [Example("", (one,)) for one in fresh.values()]
            given = measure(policy, asked, layout, _logprobs)
            self._found.update({key: value for key, (value,) in zip(fresh, given, strict=True)})
            tick()
        if writes:
            self._write()
        gathered(None)  # none goes on before the file is there

    def _write(self) -> None:
        import io

        keys = sorted(self._found)
        kept = io.BytesIO()
        np.savez(
            kept, keys=np.array([np.frombuffer(key, np.uint8) for key in keys]).reshape(-1, 16),
            lengths=np.array([len(self._found[key]) for key in keys]),
            logprobs=np.concatenate([self._found[key] for key in keys] or [np.zeros(0, np.float32)]),
        )  # fmt: skip
        storage.write_bytes(self._place, kept.getvalue())

    def annotated(self, examples: Sequence[Example]) -> list[Example]:
        """Return examples whose sequences carry the field "reference_logprobs". All must have been filled in."""
        return [replace(e, sequences=tuple(with_field(s, FIELD, self._found[_key(s)]) for s in e.sequences))
                for e in examples]  # fmt: skip


def with_field(one: TokenSequence, name: str, values: np.ndarray) -> TokenSequence:
    """Return a sequence with one more field of its tokens after the first."""
    assert len(values) == len(one.tokens) - 1
    return replace(one, token_fields={**one.token_fields, name: values})


def _key(one: TokenSequence) -> bytes:
    return xxhash.xxh3_128_digest(np.ascontiguousarray(one.tokens).tobytes())


def _logprobs(policy: Policy, batches: Sequence) -> list:  # type: ignore[type-arg]
    return [out.logprobs for out in policy.logprobs(batches)]
