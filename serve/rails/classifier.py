"""A classifier's score of a text, by whatever scores it: serving hands over the curator's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from millrace.errors import MillraceError
from serve.errors import RailError, ServeSettingsError
from serve.rails.rail import Action, Message, Side, Verdict

Scorer = Callable[[str], float]  # text -> score; the higher, the worse


@dataclass(frozen=True)
class ClassifierSettings:
    """Which model scores, and how high a score may be."""

    model: str  # a supervised fastText model, or the folder of a Hugging Face sequence classifier
    label: str = ""  # of what is not to pass: its probability is the score; "" for a regression
    max_score: float = 0.5  # ours: where the label becomes the likelier one of two
    lowercase: bool = False  # fastText: as the model was trained
    backend: Literal["onnx", "torch"] = "onnx"  # of a Hugging Face classifier
    max_tokens: int = 512  # of a text that a Hugging Face classifier reads

    def __post_init__(self) -> None:
        if not math.isfinite(self.max_score):
            raise ServeSettingsError(f"classifier.max_score is {self.max_score}; it must be a finite number")
        if self.max_tokens < 1:
            raise ServeSettingsError(f"classifier.max_tokens is {self.max_tokens}; it must be at least 1")


@dataclass(frozen=True)
class Classifier:
    """Find texts whose score is above a limit.

    Cost: the scorer's; of the curator's fastText 2.7 ms a text of 2,000 characters (benchmarks/results/rails_cost.md).
    """

    kind: ClassVar[str] = "classifier"
    actions: ClassVar[tuple[Action, ...]] = ("refuse", "flag")

    settings: ClassifierSettings
    score: Scorer

    def prepare(self) -> None:
        """Score a text, so that the model is loaded and known to work."""
        self.check("prepare", "input", ())

    def check(self, text: str, side: Side, before: Sequence[Message]) -> Verdict:
        """Score a text. Raises RailError where the model fails, or its score is no number."""
        try:
            score = float(self.score(text))
        except MillraceError as error:
            raise RailError(f"the classifier {self.settings.model} fails: {type(error).__name__}") from error
        if math.isnan(score):
            raise RailError(f"the classifier {self.settings.model} gives a score that is no number")
        high = score > self.settings.max_score
        return Verdict(not high, text, f"score {score:.3f}" if high else "", int(high))
