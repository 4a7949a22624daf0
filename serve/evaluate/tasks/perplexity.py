"""How well a model predicts texts: bits per byte, and perplexities by byte, word and token."""

from __future__ import annotations

import dataclasses
import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, ClassVar, Literal

import numpy as np

from millrace import storage
from serve.errors import EvaluationError, ServeSettingsError
from serve.evaluate import files
from serve.evaluate.files import Item
from serve.evaluate.mean import ratio
from serve.evaluate.pairs import scored
from serve.evaluate.samples import SHOWN, sample
from serve.evaluate.task import Measure, Pair, Read, Result, Subject

TEXT = (".txt", ".md")


@dataclass(frozen=True)
class Perplexity:
    """Texts predicted token by token, as lm-evaluation-harness 0.4.13's loglikelihood_rolling does.

    A text's tokens are predicted once each, the first one after the subject's prefix token, in windows of the
    model's positions: the first window predicts as many tokens as it can hold, each later one what comes next, after
    at least `context` tokens that were predicted before; the last window is filled with as many of these as fit.

    bits_per_byte: -log2 of the texts' probability over their UTF-8 bytes; byte_perplexity is 2 to it. word_perplexity
    is by words, the pieces between whitespace; token_perplexity by the model's own tokens, so that models with other
    tokenizers cannot be compared by it. Errors are those of bits_per_byte, over texts.
    """

    name: ClassVar[str] = "perplexity"
    wants: ClassVar[Literal["language", "reward"]] = "language"

    path: Any = ()  # JSON, JSONL, CSV or Parquet files with a field of text; .txt and .md files are one text each
    text: str = "text"  # field that holds the text
    context: int = 1  # tokens a later window reads before those it predicts
    limit: int = 0  # only the first texts; 0: all

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for numbers that describe no task."""
        if self.context < 1 or self.limit < 0:
            raise ServeSettingsError("perplexity: context is 1 or more, limit is 0 or more")

    def read(self) -> Read:
        """Read the texts. Raises EvaluationError for one that is empty."""
        urls = files.listed(self.name, self.path, (*files.ENDINGS, *TEXT))
        plain = [url for url in urls if url.lower().endswith(TEXT)]
        others = [url for url in urls if url not in plain]
        items, known = files.read(self.name, others) if others else ([], {})
        items += [Item(PurePosixPath(url).name, {self.text: _decoded(url)}) for url in plain]
        items = items[: self.limit or None]
        for item in items:
            if not item.text(self.text):
                raise EvaluationError(f"{item.place}: field {self.text} is empty; a text is expected")
        return Read(items, {**known, **files.hashes(plain)})

    def check(self, subject: Subject, read: Read, label: str) -> None:
        """Raise ServeSettingsError where the model cannot read `context` tokens."""
        if self.context > subject.positions:
            raise ServeSettingsError(
                f"{label}: context is {self.context}, but {subject.name} has {subject.positions} positions: "
                f"--set {label}.context=N"
            )

    def run(self, subject: Subject, read: Read) -> Result:
        """Predict every text."""
        began = time.perf_counter()
        texts = [item.text(self.text) for item in read.items]
        tokens = subject.encode(texts)
        owners: list[int] = []
        pairs: list[Pair] = []
        for n, one in enumerate(tokens):
            made = list(windows(one, subject.prefix, subject.positions, self.context))
            owners += [n] * len(made)
            pairs += made
        nats = np.zeros(len(texts))
        for n, (score, _) in zip(owners, scored(subject, pairs, [read.items[n].place for n in owners])):
            nats[n] -= score
        sizes = {
            "bytes": np.array([len(one.encode()) for one in texts], np.float64),
            "words": np.array([len(re.split(r"\s+", one)) for one in texts], np.float64),
            "tokens": np.array([len(one) for one in tokens], np.float64),
        }
        bits = nats / math.log(2)
        by_byte = ratio(bits, sizes["bytes"])
        return Result(
            self.name, len(texts),
            {
                "bits_per_byte": by_byte,
                "byte_perplexity": Measure(math.exp(nats.sum() / sizes["bytes"].sum()), None, False),
                "word_perplexity": Measure(_power(nats.sum() / sizes["words"].sum()), None, False),
                "token_perplexity": Measure(_power(nats.sum() / sizes["tokens"].sum()), None, False),
            },
            time.perf_counter() - began, dataclasses.asdict(self), read.files,
            {"bits_per_byte": bits / sizes["bytes"]},
            [sample(read.items[n].place, texts[n], bits_per_byte=bits[n] / sizes["bytes"][n])
             for n in range(min(len(texts), SHOWN))],
            {"bits_per_byte": sizes["bytes"]},
            {"windows": len(pairs), **{name: int(found.sum()) for name, found in sizes.items()}},
        )  # fmt: skip


def windows(tokens: Sequence[int], prefix: int, positions: int, context: int = 1) -> Iterator[Pair]:
    """Yield (context, continuation) such that each token is in one continuation, and no window reads past `positions`.

    [1, 2, 3, 4, 5] with prefix 0, 3 positions, context 1 -> ([0], [1, 2, 3]), ([2, 3], [4, 5])
    """
    done = min(positions, len(tokens))
    if done:
        yield [prefix], tokens[:done]
    while done < len(tokens):
        end = min(done + positions - context + 1, len(tokens))
        yield tokens[end - positions - 1 : done], tokens[done:end]
        done = end


def _power(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf


def _decoded(url: str) -> str:
    try:
        return storage.read_bytes(url).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{url} is not UTF-8: {error.reason} at byte {error.start}") from None
