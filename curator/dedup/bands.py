"""Choose bands and rows: which pairs become candidates, what is missed, and what it costs.

With bands b and rows r, two documents of Jaccard similarity s agree in at least one whole band with
probability 1 - (1 - s ** r) ** b: an S-shaped curve in s (Leskovec, Rajaraman, Ullman, Mining of Massive
Datasets, section 3.4). More bands find more; more rows pass over more of what is not alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from curator.errors import SpecError

STEPS = 10_000  # points of an integral over similarity: exact to 4 digits at any bands and rows in use
EIGHTHS = " ▏▎▍▌▋▊▉█"
BAR = 40  # characters of a bar of probability 1


@dataclass(frozen=True)
class Choice:
    """Bands and rows, and what they do at a threshold."""

    bands: int
    rows: int
    jaccard: float  # the threshold

    @property
    def size(self) -> int:
        """Values a sketch: what the CPU pays for."""
        return self.bands * self.rows

    @property
    def bytes(self) -> int:
        """Bytes a document of its band keys, which is what lies on disk and is grouped."""
        return 8 * self.bands

    @property
    def recall(self) -> float:
        """The probability that a pair exactly at the threshold is found; those above it do better."""
        return float(probability(self.jaccard, self.bands, self.rows))

    @property
    def false_negatives(self) -> float:
        """The area above the curve from the threshold up: similarity that is missed."""
        return self._mean(self.jaccard, 1, missed=True)

    @property
    def false_positives(self) -> float:
        """The area under the curve below the threshold: pairs verified in vain, if all s were as common."""
        return self._mean(0, self.jaccard, missed=False)

    def _mean(self, low: float, high: float, missed: bool) -> float:
        s = low + (high - low) * (np.arange(STEPS) + 0.5) / STEPS
        found = probability(s, self.bands, self.rows)
        return float(np.mean(1 - found if missed else found) * (high - low))


def probability(s: float | np.ndarray, bands: int, rows: int) -> np.ndarray:
    """Return the probability that pairs of Jaccard similarity `s` share at least one band: float64, as s."""
    # 1 - (1 - s^r)^b by logarithms keeps its digits where it is small: s = 0.01 with 8 rows gives 1e-15
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(bands * np.log1p(-(np.asarray(s, np.float64) ** rows))))


def propose(jaccard: float, size: int = 256, recall: float = 0.99, most: int = 4) -> list[Choice]:
    """Propose bands and rows for a wanted threshold, the best first, then at most `most` - 1 cheaper ones.

    The criterion: of all bands x rows of at most `size` values that find a pair at the threshold with
    probability `recall` or more, that with the smallest area of false positives. Each cheaper choice has
    fewer rows and values, and the smallest such area for them. Raises SpecError where none is small enough.
    """
    _check(jaccard)
    if not 0 < recall < 1:
        raise SpecError(f"recall is {recall}; it must be above 0 and below 1")
    found: list[Choice] = []
    for rows in range(1, size + 1):
        bands = _fewest_bands(jaccard**rows, recall)
        if bands * rows > size:
            break  # more rows need as many bands or more
        choice = Choice(bands, rows, jaccard)
        if not found or choice.false_positives < found[-1].false_positives:  # more rows may help no more
            found.append(choice)
    if not found:
        raise SpecError(
            f"no sketch of {size} values finds pairs of similarity {jaccard} with probability {recall}; "
            f"it takes {_fewest_bands(jaccard, recall):.4g} bands of 1 row"
        )
    return found[::-1][:most]


def _fewest_bands(agreement: float, recall: float) -> int:
    """Return how many bands are needed where one agrees with probability `agreement`."""
    if agreement == 1:
        return 1
    return math.ceil(math.log1p(-recall) / math.log1p(-max(agreement, 1e-300)))


def table(choices: Sequence[Choice]) -> str:
    """Return a printable table of choices, a line each."""
    lines = ["bands  rows  values  bytes/document  recall at threshold  missed above  candidates below"]
    for c in choices:
        lines.append(
            f"{c.bands:5}{c.rows:6}{c.size:8}{c.bytes:16}{c.recall:21.4f}{c.false_negatives:14.4f}"
            f"{c.false_positives:18.4f}"
        )
    return "\n".join(lines)


def s_curve(bands: int, rows: int, jaccard: float) -> str:
    """Return the S-curve of bands and rows as printable text, a bar for each 0.05 of similarity.

    The two areas between it and a perfect step at the threshold follow. Raises SpecError for a threshold
    outside (0, 1] or fewer than 1 band or row.
    """
    _check(jaccard)
    for name, given in (("bands", bands), ("rows", rows)):
        if given < 1:
            raise SpecError(f"{name} is {given}; it must be at least 1")
    choice = Choice(bands, rows, jaccard)
    similarities = sorted({*(i / 20 for i in range(21)), jaccard})
    lines = [f"{bands} bands x {rows} rows: how likely a pair is to become a candidate, by its Jaccard similarity"]
    for s in similarities:
        found = float(probability(s, bands, rows))
        mark = "  threshold" if s == jaccard else ""
        lines.append(f"{s:6.3g}  {bar(found)}  {found:6.4f}{mark}")
    lines.append(f"missed above the threshold (area, false negatives)      {choice.false_negatives:.4f}")
    lines.append(f"candidates below the threshold (area, false positives)  {choice.false_positives:.4f}")
    return "\n".join(lines)


def bar(share: float) -> str:
    """Return a bar of BAR characters, filled to a share from 0 to 1 in eighths of a character."""
    full, part = divmod(round(share * BAR * 8), 8)
    return ("█" * full + EIGHTHS[part] * (part > 0)).ljust(BAR)


def _check(jaccard: float) -> None:
    if not 0 < jaccard <= 1:
        raise SpecError(f"jaccard is {jaccard}; it must be above 0 and at most 1")
