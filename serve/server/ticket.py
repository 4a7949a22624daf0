"""What a request holds while it is answered: places before the engine, and tokens of its key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass

from serve.server.limits.admission import Admission
from serve.server.limits.keys import Key
from serve.server.metrics import Metrics
from serve.server.record import Record


@dataclass(frozen=True)
class Ticket:
    """One request's."""

    key: Key
    admission: Admission
    record: Record
    metrics: Metrics

    def places(self, completions: int) -> AbstractAsyncContextManager[None]:
        """Wait for places and hold them. Raises Refusal (429)."""
        return self.admission.places(completions)

    @contextmanager
    def tokens(self, most: int) -> Iterator[None]:
        """Hold the most tokens a request may need, and return what it did not use. Raises Refusal (429)."""
        self.key.reserve(most)
        try:
            yield
        finally:
            self.key.settle(most, self.record.prompt_tokens + self.record.tokens)
