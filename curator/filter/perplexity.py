"""Perplexity by an n-gram language model, as CCNet buckets web text (Wenzek et al. 2020, arXiv:1911.00359)."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from curator import frames
from curator.errors import ModelError, SpecError
from curator.filter.classifier import check_name
from curator.onnx_model import folder_of, need, one_line
from curator.stage import Column, Filter, Frame, Rule, at_least, at_most
from millrace.config import did_you_mean

Score = Callable[[str], float]  # words of a line -> log10 probability, begin and end of sentence included
Lines = Callable[[str], list[str]]

LARGEST = 38.5  # powers of ten below are float32
BUCKETS = ("head", "middle", "tail")

# What CCNet writes for punctuation of other scripts (facts of its text_normalizer).
PUNCTUATION = str.maketrans(
    dict(zip("，。、∶：？！（）；", ",.,::?!();"))
    | dict.fromkeys("„”“«»」「《》", '"')
    | dict.fromkeys("´’", "'")
    | dict.fromkeys("–━►", "-")
    | {"—": " - ", "．": ". ", "～": "~", "…": "...", "〈": "<", "〉": ">", "【": "[", "】": "]", "％": "%"}
)
DIGIT = re.compile(r"\d")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Perplexity(Filter):
    """Score texts by the perplexity of a KenLM model: the lower, the more like the text it was trained on.

    Writes `<name>` and `<name>_bucket`: head below the cutoff `head`, middle below `tail`, else tail; null without
    cutoffs. CCNet cuts each language into three even parts. Perplexity is 10 ** (-log10 probability / words), where
    each line has an end of sentence as one word more. With `sentencepiece` words are its pieces, and the text is
    normalised as a whole before, which joins its lines, as CCNet does. Without, each line is normalised, and words
    are what white space parts: about 13 MB/s a core with a small model. Missing text and text without a word have
    null, which rejects nothing.
    """

    model: str  # a KenLM model, .arpa or binary
    sentencepiece: str = ""  # its SentencePiece model; empty: words
    normalise: bool = True  # lower case, no accents, digits 0, plain punctuation, no control characters
    name: str = "perplexity"  # of the columns
    head: float | None = None  # of the corpus: its 30th percentile in the code of CCNet
    tail: float | None = None  # its 60th
    max_perplexity: float | None = None
    min_perplexity: float | None = None  # what is too likely is often boilerplate
    keep: tuple[str, ...] = ()  # buckets; empty: all

    reads: ClassVar = {"text": "string"}
    decides: ClassVar = ("keep",)
    files: ClassVar = ("model", "sentencepiece")

    def __post_init__(self) -> None:
        check_name("Perplexity", self.name)
        if (self.head is None) != (self.tail is None) or (self.head or 0) > (self.tail or 0):
            raise SpecError(f"Perplexity.head and tail are {self.head} and {self.tail}; give both, head the lower")
        for bucket in self.keep:
            if bucket not in BUCKETS:
                near = did_you_mean(bucket, BUCKETS)
                raise SpecError(f"Perplexity.keep has {bucket!r}.{near} Buckets: {', '.join(BUCKETS)}")
        if self.keep and self.head is None:
            raise SpecError("Perplexity.keep names buckets; give their cutoffs, head and tail")

    @property
    def writes(self) -> dict[str, str]:  # type: ignore[override]
        return {self.name: "float32", f"{self.name}_bucket": "string"}

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        return (at_most("perplexity", self.name, "max_perplexity"), at_least("likely", self.name, "min_perplexity"))

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("kenlm", *(("sentencepiece",) if self.sentencepiece else ()))

    def stored(self) -> dict[str, str]:
        return self.writes

    def check(self, output: str) -> None:
        """Load the models, so that what is wrong with them is said before anything is read."""
        self._lines()
        self._score()

    def measure(self, frame: Frame) -> Frame:
        """Return perplexity and bucket. Raises ModelError on a bad model, or where kenlm is not installed."""
        lines, score = self._lines(), self._score()
        texts = frames.column_to_arrow(frame["text"]).to_pylist()
        found = np.array([perplexity(lines(text), score) if text else np.nan for text in texts], np.float64)
        missing = np.isnan(found)
        found = found.astype(np.float32)
        bucket = np.digitize(found, [self.head or 0, self.tail or 0])  # the bucket of a cutoff is the one above it
        buckets = pa.array(BUCKETS, pa.large_string()).take(pa.array(bucket, mask=missing | (self.head is None)))
        return frames.like(frame["text"], {self.name: pa.array(found, mask=missing), f"{self.name}_bucket": buckets})

    def reject(self, signals: Frame) -> dict[str, Column]:
        """Reject other buckets first, where `keep` names any."""
        bucket = signals[f"{self.name}_bucket"]
        others = bucket.notna() & ~bucket.isin(list(self.keep))
        return ({"bucket": others} if self.keep else {}) | super().reject(signals)

    def explain(self, signals: Frame, reason: str) -> dict[str, Any]:
        """Give perplexity and bucket, whichever of them was the reason."""
        evidence = {"value": signals[self.name], "value_text": signals[f"{self.name}_bucket"]}
        return evidence | super().explain(signals, reason)

    def _score(self) -> Score:
        need(("kenlm",), "perplexity", "perplexity")
        path = folder_of(self.model)
        if not path.is_file():
            raise ModelError(f"there is no model file {path}; expected a KenLM model (.arpa or binary)")
        return _load_model(str(path), path.stat().st_mtime_ns)

    def _lines(self) -> Lines:
        """Return what cuts a text into lines of words."""
        clean = normalised if self.normalise else str
        if not self.sentencepiece:
            return lambda text: [clean(line) for line in text.split("\n")]
        need(("sentencepiece",), "perplexity of SentencePiece's pieces", "perplexity")
        path = folder_of(self.sentencepiece)
        if not path.is_file():
            raise ModelError(f"there is no model file {path}; expected a SentencePiece model")
        pieces = _load_pieces(str(path), path.stat().st_mtime_ns)
        return lambda text: " ".join(pieces(clean(text))).split("\n")


def perplexity(lines: list[str], score: Score) -> float:
    """Return 10 ** (-log10 probability / words) of lines: NaN where they hold no word, infinite beyond float32, as
    of words that a model without <unk> lacks (KenLM takes 1e-100 for them)."""
    words = sum(len(line.split()) for line in lines)
    if not words:
        return float("nan")
    exponent = -sum(map(score, lines)) / (words + len(lines))
    return float(10.0**exponent) if exponent < LARGEST else float("inf")


def normalised(text: str) -> str:
    """Return text as the models of CCNet have it: lower case, no accents, digits 0, plain punctuation, and no
    control characters, line ends among them."""
    plain = text.strip().lower()
    if not plain.isascii():
        plain = "".join(c for c in unicodedata.normalize("NFD", plain) if unicodedata.category(c) != "Mn")
        plain = DIGIT.sub("0", plain).translate(PUNCTUATION)
    return CONTROL.sub("", DIGIT.sub("0", plain))


@functools.lru_cache(maxsize=2)
def _load_model(path: str, changed: int) -> Score:
    import kenlm

    quiet = kenlm.Config()
    quiet.show_progress, quiet.arpa_complain = False, kenlm.ARPALoadComplain.NONE  # a stage prints nothing
    try:
        return kenlm.Model(path, quiet).score  # type: ignore[no-any-return]
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"{path} is not a KenLM model (.arpa or binary): {one_line(error)}") from None


@functools.lru_cache(maxsize=2)
def _load_pieces(path: str, changed: int) -> Callable[[str], list[str]]:
    import sentencepiece

    try:
        return sentencepiece.SentencePieceProcessor(model_file=path).encode_as_pieces  # type: ignore[no-any-return]
    except (OSError, RuntimeError) as error:
        raise ModelError(f"{path} is not a SentencePiece model: {one_line(error)}") from None
