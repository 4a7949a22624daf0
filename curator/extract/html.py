"""The main text of web pages."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from curator.errors import SpecError
from curator.extract.sandbox import Answer, Sandbox
from curator.stage import Column, Filter, Frame

FAILURES = ("no_text", "cpu_limit", "memory_limit", "crashed", "html_too_large", "error")


@dataclass(frozen=True)
class ExtractHtml(Filter):
    """Extract the main text of HTML pages, in a child process that a page can kill.

    Trafilatura (Barbaresi, ACL 2021) or resiliparse (Bevendorff et al., ECIR 2018), which takes a
    tenth of the time and lets more boilerplate through. A page without text, or over a limit, is
    dropped with a reason; null and empty pages are `no_text`.
    """

    engine: Literal["trafilatura", "resiliparse"] = "trafilatura"
    fast: bool = True  # trafilatura: without readability and jusText, which take a third of the time
    favor: Literal["balanced", "precision", "recall"] = "balanced"  # trafilatura
    include_comments: bool = False
    include_tables: bool = True
    max_seconds: float = 10.0  # CPU seconds a page; ours: 1,000 times the usual, 40 times the slowest seen
    max_memory_mb: int = 1024  # a page, beyond the engine's own; ours: a tree took 7 times its HTML
    max_html_mb: float = 20.0  # ours: seven such trees fit the memory above

    reads = {"html": "string"}
    writes = {"text": "string"}
    drops = ("html",)
    signals = {"extract_status": "string", "extract_detail": "string"}
    libraries = ("trafilatura", "resiliparse", "lxml")

    def __post_init__(self) -> None:
        for name in ("max_seconds", "max_memory_mb", "max_html_mb"):
            if getattr(self, name) <= 0:
                raise SpecError(f"ExtractHtml.{name} is {getattr(self, name)}; it must be above 0")
        if self.engine == "resiliparse" and (not self.fast or self.favor != "balanced"):
            raise SpecError("ExtractHtml: fast and favor are settings of trafilatura, not of resiliparse")

    def measure(self, frame: Frame) -> Frame:
        """Return text (null where there is none), status, and what happened where it failed."""
        import pyarrow as pa

        from curator import frames

        pages = frames.column_to_arrow(frame["html"]).cast(pa.large_binary()).to_pylist()
        answers = self._extract(pages)
        text = [answer.text if answer.status == "ok" else None for answer in answers]
        status = [answer.status for answer in answers]
        detail = [answer.detail or None for answer in answers]
        return frames.like(
            frame["html"],
            {
                "text": pa.array(text, pa.large_string()),
                "extract_status": pa.array(status, pa.large_string()),
                "extract_detail": pa.array(detail, pa.large_string()),
            },
        )

    def _extract(self, pages: Sequence[bytes | None]) -> list[Answer]:
        answers = [self._unsent(page) for page in pages]
        sent = [row for row, answer in enumerate(answers) if answer is None]
        found = self._sandbox().extract([pages[row] or b"" for row in sent])
        for row, answer in zip(sent, found):
            answers[row] = answer
        return [answer for answer in answers if answer]

    def _unsent(self, page: bytes | None) -> Answer | None:
        """Answer a page that need not be sent."""
        if not page or page.isspace():
            return Answer("no_text")
        if len(page) > self.max_html_mb * (1 << 20):
            return Answer("html_too_large", detail=f"{len(page) / (1 << 20):.1f} MiB")
        return None

    def _sandbox(self) -> Sandbox:
        return Sandbox(json.dumps(dataclasses.asdict(self), sort_keys=True))

    def reject(self, signals: Frame) -> dict[str, Column]:
        """Reject what has no text, by status."""
        return {reason: signals["extract_status"] == reason for reason in FAILURES}

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        """Give the exception, signal or size, and the limit."""
        limits = {
            "cpu_limit": "max_seconds",
            "memory_limit": "max_memory_mb",
            "html_too_large": "max_html_mb",
        }
        found: dict[str, Any] = {"value_text": signals["extract_detail"]}
        if reason in limits:
            found["threshold"] = float(getattr(self, limits[reason]))
        return found
