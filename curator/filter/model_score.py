"""Filtering by a transformer: FineWeb-Edu's regression, quality and domain classifiers, and others of their kind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator import frames
from curator.errors import ModelError, SpecError
from curator.filter.classifier import check_name
from curator.filter.sequence_classifier import Classifier, load, model_files
from curator.stage import Column, Filter, Frame, Rule, at_least, at_most
from millrace.config import did_you_mean


@dataclass(frozen=True)
class ModelScore(Filter):
    """Score texts by a Hugging Face sequence classifier in a local folder, and reject by score or label.

    Writes `<name>_score` and `<name>_label`. A model of one output is a regression: its output is the score, and the
    label null (FineWeb-Edu gives 0 to 5, and keeps from 3: Penedo et al. 2024, arXiv:2406.17557). One of several
    gives the likeliest label, and as score the probability of `label`, or of the likeliest where none is named. Only
    the first `max_tokens` tokens count. Missing and blank text is not scored: null, which rejects nothing.

    The scores of a text are the same in any batch on one machine; between processors, devices and backends they
    differ by some 1e-6. On a CPU texts go one by one and on one thread: of BERT base, batches of one length gain a
    factor 1.4 at 32 tokens, 1.1 at 128. A GPU needs `batch_tokens`, such as 65536. Cost: BERT base (110 M parameters)
    takes 6 ms of a slow core a token.
    """

    model: str  # folder of config.json, tokenizer.json and model.onnx, or model.safetensors for torch
    label: str = ""  # whose probability is the score; empty: the likeliest one's
    name: str = "model"  # of the columns
    keep: tuple[str, ...] = ()  # labels; empty: all
    min_score: float | None = None
    max_score: float | None = None
    labels: tuple[str, ...] = ()  # names of the outputs, in order; empty: as config.json says
    max_tokens: int = 512  # what BERT, DeBERTa v3 and FineWeb-Edu were trained with
    max_characters: int = 20_000  # looked at; ours: some 40 a token, so that a text of 50 MB costs no more
    batch_tokens: int | None = None  # a pass on the model holds at most, padding counted; None: one text a pass
    backend: Literal["onnx", "torch"] = "onnx"
    device: Literal["cpu", "cuda"] = "cpu"  # cuda: by torch

    reads: ClassVar = {"text": "string"}
    decides: ClassVar = ("keep",)

    def __post_init__(self) -> None:
        check_name("ModelScore", self.name)
        if self.device == "cuda" and self.backend != "torch":
            raise SpecError("ModelScore.device is cuda; that needs backend: torch")
        for field in ("max_tokens", "max_characters", "batch_tokens"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise SpecError(f"ModelScore.{field} is {value}; it must be at least 1")

    @property
    def writes(self) -> dict[str, str]:  # type: ignore[override]
        return {f"{self.name}_score": "float32", f"{self.name}_label": "string"}

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        return (
            at_least("low_score", f"{self.name}_score", "min_score"),
            at_most("high_score", f"{self.name}_score", "max_score"),
        )

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("tokenizers", *(("onnxruntime",) if self.backend == "onnx" else ("torch", "transformers")))

    def named_files(self) -> dict[str, tuple[str, ...]]:
        return {"model": tuple(model_files(self.model, self.backend).values())}

    def check(self, output: str) -> None:
        """Load the model, so that what is wrong with it is said before anything is read."""
        self._classifier()

    def stored(self) -> dict[str, str]:
        return self.writes

    def measure(self, frame: Frame) -> Frame:
        """Return score and label. Raises ModelError on a bad model, or labels it does not have."""
        model = self._classifier()
        texts = pc.utf8_slice_codeunits(frames.column_to_arrow(frame["text"]), 0, self.max_characters).to_pylist()
        rows = [row for row, text in enumerate(texts) if text and not text.isspace()]
        logits = np.full((len(texts), len(model.labels)), np.nan)
        if rows:
            logits[rows] = model.logits([texts[row] for row in rows], self.max_tokens, self.batch_tokens)
        scores, places = self._scored(model, logits)
        missing = np.isnan(logits).any(axis=1)
        labels = pa.array(model.labels, pa.large_string()).take(pa.array(places, mask=missing | (places < 0)))
        made = {f"{self.name}_score": pa.array(scores.astype(np.float32), mask=missing), f"{self.name}_label": labels}
        return frames.like(frame["text"], made)

    def _scored(self, model: Classifier, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the score of each row, float64, and the place of its label, int64, -1 where it has none."""
        if len(model.labels) == 1:
            return logits[:, 0], np.full(len(logits), -1)
        likeliest = np.nan_to_num(logits).argmax(axis=1)
        place = model.labels.index(self.label) if self.label else likeliest
        return model.probabilities(logits)[np.arange(len(logits)), place], likeliest

    def reject(self, signals: Frame) -> dict[str, Column]:
        """Reject other labels first, where `keep` names any, then scores."""
        label = signals[f"{self.name}_label"]
        others = label.notna() & ~label.isin(list(self.keep))
        return ({"label": others} if self.keep else {}) | super().reject(signals)

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        """Give score and label, whichever of them was the reason."""
        evidence = {"value": signals[f"{self.name}_score"], "value_text": signals[f"{self.name}_label"]}
        return evidence | super().explain(signals, reason)

    def _classifier(self) -> Classifier:
        """Return the model, once it is known that it has the labels that are asked for."""
        model = load(self.model, self.backend, self.device, self.labels, self.max_tokens)
        named = (*([self.label] if self.label else []), *self.keep)
        if named and len(model.labels) == 1:
            raise ModelError(f"{self.model} is a regression, without labels; leave out ModelScore.label and keep")
        for label in named:
            if label not in model.labels:
                raise ModelError(
                    f"ModelScore: {self.model} has no label {label!r}.{did_you_mean(label, model.labels)}"
                    f" It has {len(model.labels)}: {', '.join(model.labels[:200])}"
                )
        return model
