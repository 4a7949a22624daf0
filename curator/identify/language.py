"""Language identification by a fastText model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator import fasttext_model, frames
from curator.errors import ModelError
from curator.fasttext_model import LABEL, Predict
from curator.identify.model import lid_model
from curator.stage import Column, Filter, Frame, at_least
from millrace.config import did_you_mean

UNDETERMINED = "und"  # ISO 639-2, of text that gives the model nothing to go by


@dataclass(frozen=True)
class IdentifyLanguage(Filter):
    """Name each document's language (`lang`, `lang_score`) and reject by language and by score.

    The whole text is read as one line, as fastText's own `predict` does (Joulin et al. 2016, Bag of
    Tricks); the languages are the model's labels, ISO 639-1 where there is one, in lid.176. Missing and
    blank text, and text of which the model knows nothing, is `und` with score 0. About 14 MB/s a core.
    """

    keep: tuple[str, ...] = ()  # languages; empty: all
    min_score: float = 0.65  # probability; the limit of CCNet is 0.5, datatrove's 0.65
    model: str = ""  # path of a supervised fastText model; empty: lid.176.ftz, fetched at first use

    reads = {"text": "string"}
    writes = {"lang": "string", "lang_score": "float32"}
    rules = (at_least("language_score", "lang_score", "min_score"),)
    decides = ("keep",)
    version = 2  # lang is kept under signals/
    libraries = ("fasttext",)
    files = ("model",)

    def stored(self) -> dict[str, str]:
        return {"lang": self.writes["lang"], **super().stored()}

    def model_path(self) -> str:
        """Return the path of the model in use. Raises ModelError where lid.176.ftz cannot be fetched."""
        return self.model or lid_model()

    def named_files(self) -> dict[str, tuple[str, ...]]:
        return {"model": (self.model_path(),)}

    def measure(self, frame: Frame) -> Frame:
        """Return `lang` and `lang_score`. Raises ModelError on a bad model or a language it cannot tell."""
        predict = _checked(self.model_path(), self.keep)
        lines = pc.replace_substring(frames.column_to_arrow(frame["text"]), "\n", " ")
        found = [_best(predict, line) for line in lines.to_pylist()]
        return frames.like(
            frame["text"],
            {
                "lang": pa.array([lang for lang, _ in found], pa.large_string()),
                "lang_score": pa.array([score for _, score in found], pa.float32()),
            },
        )

    def reject(self, signals: Frame) -> dict[str, Column]:
        """Reject other languages first, where `keep` names any, then low scores."""
        others = signals["lang"].notna() & ~signals["lang"].isin(list(self.keep))
        return ({"language": others} if self.keep else {}) | super().reject(signals)

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        """Name the language and its score, whichever of them was the reason."""
        evidence = {"value": signals["lang_score"], "value_text": signals["lang"]}
        return evidence | super().explain(signals, reason)


def _best(predict: Predict, line: str | None) -> tuple[str, float]:
    """Return (language, score) of one line of text."""
    if line is None or not line.strip():
        return UNDETERMINED, 0.0
    found = predict(line + "\n", 1, 0.0, "strict")  # fastText was trained with the end of line as a word
    if not found:
        return UNDETERMINED, 0.0
    score, label = found[0]
    return label.removeprefix(LABEL), min(score, 1.0)  # its table of logarithms gives up to 1.00001


def _checked(path: str, keep: tuple[str, ...]) -> Predict:
    """Return the model's predict, once it is known that it can give each language of `keep`."""
    model = fasttext_model.load(path)
    languages = fasttext_model.labels(model)
    for language in keep:
        if language not in (*languages, UNDETERMINED):
            raise ModelError(
                f"IdentifyLanguage.keep has {language!r}, which {path} cannot tell."
                f"{did_you_mean(language, languages)}"
                f" It tells {len(languages)}: {', '.join(languages)}"
            )
    return model.predict  # type: ignore[no-any-return]
