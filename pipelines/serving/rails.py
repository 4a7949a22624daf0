"""What the curator lends to serving and evaluation: its search for personal data, and its classifiers."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

from serve.rails.classifier import ClassifierSettings, Scorer
from serve.rails.compose import Makers
from serve.rails.pii import PiiSettings, Redactor


def makers() -> Makers:
    """Return what makes redactors and scorers."""
    return Makers(redactor, scorer)


def redactor(settings: PiiSettings) -> Redactor:
    """Return the curator's RedactPii as a function of one text. Raises SpecError, and ModelError for Presidio's."""
    from curator import RedactPii

    kinds = {"entities": settings.entities} if settings.entities else {}
    stage = RedactPii(
        **kinds, placeholder=settings.placeholder, disguised=settings.disguised, presidio=settings.presidio,
        model=settings.model, language=settings.language,
    )  # fmt: skip
    stage.check("")

    def redact(text: str) -> tuple[str, int]:
        spans = stage.spans(_frame(text))  # of one text, in bytes; `measure` would take twice as long
        given, pieces, end = text.encode(), [], 0
        for start, stop, kind in zip(spans.starts, spans.stops, spans.fill):
            pieces += [given[end:start], spans.fills[kind].encode()]
            end = stop
        return b"".join([*pieces, given[end:]]).decode(), len(spans.starts)

    return redact


def scorer(settings: ClassifierSettings) -> Scorer:
    """Return a classifier of the curator as a function of one text: of a folder Hugging Face's, of a file fastText's.

    A blank text's score is 0. Raises ModelError where there is no such model or label.
    """
    from curator import ClassifierFilter, ModelScore

    folder = Path(settings.model).is_dir()
    stage: ClassifierFilter | ModelScore
    if folder:
        _check_label(settings)
        stage = ModelScore(
            settings.model, label=settings.label, backend=settings.backend, max_tokens=settings.max_tokens
        )
    else:
        stage = ClassifierFilter(settings.model, label=settings.label, lowercase=settings.lowercase)
    stage.check("")
    column = f"{stage.name}_score"
    # torch: a pass sets the process' number of threads, and sets it back
    one_at_a_time = threading.Lock() if folder and settings.backend == "torch" else contextlib.nullcontext()

    def score(text: str) -> float:
        if not text or text.isspace():
            return 0.0
        with one_at_a_time:
            return float(stage.measure(_frame(text))[column].iloc[0])

    return score


def _check_label(settings: ClassifierSettings) -> None:
    from curator.errors import ModelError
    from curator.filter.sequence_classifier import load

    known = load(settings.model, settings.backend, "cpu", (), settings.max_tokens).labels
    if len(known) > 1 and not settings.label:
        raise ModelError(f"classifier.label is empty; {settings.model} tells {', '.join(known[:200])}: name one")


def _frame(text: str) -> Any:
    import pyarrow as pa

    from curator import frames

    return frames.from_arrow(pa.table({"text": pa.array([text], pa.large_string())}))
