"""What a model makes of the held-out set, and how arms differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.curation_quality.holdout import Held
from serve.evaluate.local.language import Language
from serve.evaluate.tasks.multiple_choice import MultipleChoice
from serve.evaluate.tasks.perplexity import Perplexity
from serve.model import find

RESAMPLES = 10_000
PARTS = ("documents", "articles", "brown")


@dataclass(frozen=True)
class Scores:
    """Of one model: values a held-out document and a cloze item."""

    bits: np.ndarray  # (documents,) bits in all
    sizes: np.ndarray  # (documents,) bytes
    right: np.ndarray  # (items,) 1 where the item was answered right, by log-probability a byte


def score(run: Path, held: Path, cloze: Path, device: str = "cpu") -> Scores:
    """Read the held-out set with a run's model."""
    subject = Language.load(find(str(run)), device=device)
    texts = Perplexity(path=str(held))
    asked = MultipleChoice(path=str(cloze), prompt="{context}")
    found, chosen = texts.run(subject, texts.read()), asked.run(subject, asked.read())
    sizes = np.array([len(json.loads(line)["text"].encode()) for line in held.read_text().splitlines()], np.float64)
    return Scores(found.values["bits_per_byte"] * sizes, sizes, chosen.values["acc_bytes"])


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval of the paired bootstrap."""

    value: float
    low: float
    high: float

    def text(self, scale: float = 1.0, digits: int = 3) -> str:
        value, low, high = (f"{scale * one:.{digits}f}" for one in (self.value, self.low, self.high))
        return f"{value} ({low} to {high})"


def bits_per_byte(bits: np.ndarray, sizes: np.ndarray, parts: np.ndarray, which: np.ndarray) -> float:
    """Return the mean over parts of bits by bytes, of the documents `which` and the parts they are of."""
    inside = [which[parts[which] == part] for part in np.unique(parts[which])]
    return float(np.mean([bits[one].sum() / sizes[one].sum() for one in inside]))


def estimate(
    measure: Callable[[np.ndarray], float], parts: np.ndarray, seed: int = 0, resamples: int = RESAMPLES
) -> Estimate:
    """Bootstrap a measure of chosen rows (Efron 1979), drawn anew within each part; percentiles 2.5 to 97.5."""
    draw = np.random.default_rng(seed)
    rows = [np.flatnonzero(parts == part) for part in np.unique(parts)]
    found = [measure(np.concatenate([draw.choice(one, len(one)) for one in rows])) for _ in range(resamples)]
    low, high = np.percentile(found, [2.5, 97.5])
    return Estimate(measure(np.arange(len(parts))), float(low), float(high))


def part_numbers(held: Sequence[Held]) -> np.ndarray:
    return np.array([PARTS.index(one.part) for one in held])
