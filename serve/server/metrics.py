"""What Prometheus reads at /metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from serve.engine.request import Load
from serve.rails.rails import Event

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The counters, gauges and histograms of one server."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()

        def made(kind: Any, name: str, text: str, *labels: str, **more: Any) -> Any:
            return kind(f"millrace_{name}", text, labels, registry=self.registry, **more)

        self.requests = made(Counter, "requests", "Requests; 499: the client left.", "route", "status")
        self.prompt_tokens = made(Counter, "prompt_tokens", "Tokens of prompts.", "model")
        self.tokens = made(Counter, "completion_tokens", "Tokens that were drawn.", "model")
        self.rejected = made(Counter, "rejected", "Requests without an answer, by reason.", "reason")
        self.rails = made(Counter, "rail_verdicts", "Checks, by rail and what came of them.", "rail", "side", "outcome")
        self.seconds = made(Histogram, "request_seconds", "Of a whole request.", "route", buckets=SECONDS)
        self.first = made(Histogram, "first_token_seconds", "From a request to its first token.", buckets=SECONDS)
        self.each = made(Histogram, "token_seconds", "Between tokens of a completion, its mean.", buckets=SECONDS)
        self.rail_seconds = made(Histogram, "rail_seconds", "Of a check.", "rail", buckets=SECONDS)
        self._gauge = made, Gauge

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Show a number as it is when it is asked for."""
        made, gauge = self._gauge
        made(gauge, name, text).set_function(value)

    def watch_engine(self, load: Callable[[], Load]) -> None:
        """Show how busy an engine is."""
        for name, text in (
            ("running", "Completions that the engine runs."),
            ("waiting", "Completions that wait in the engine."),
            ("blocks", "Blocks of the cache."),
            ("blocks_used", "Blocks of the cache in use."),
        ):
            self.watch(f"engine_{name}", text, lambda field=name: float(getattr(load(), field)))  # type: ignore[misc]

    def rail(self, event: Event) -> None:
        """Count what came of a rail."""
        self.rails.labels(event.rail, event.side, event.outcome).inc()
        self.rail_seconds.labels(event.rail).observe(event.seconds)

    def page(self) -> tuple[bytes, str]:
        """Return the text of /metrics, and its content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST
