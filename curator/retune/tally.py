"""Counting decisions: what is kept, what each rule takes, and whom only that rule takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from curator.retune.decide import STAYS, UNKNOWN, Decided
from curator.retune.rows import Rows


@dataclass
class Amount:
    """Documents, the characters of their texts, and tokens."""

    documents: int = 0
    characters: int = 0
    tokens: int = 0

    def add(self, mask: np.ndarray, batch: Rows, tokens: np.ndarray) -> None:
        """Add the documents under a mask, bool (rows)."""
        self.documents += int(mask.sum())
        self.characters += int(batch.characters[mask].sum())
        self.tokens += int(tokens[mask].sum())


@dataclass
class Tally:
    """What some filters make of all documents."""

    reasons: int
    kept: Amount = field(default_factory=Amount)
    unknown: Amount = field(default_factory=Amount)  # nobody knows without reading text
    by_source: Counter[str] = field(default_factory=Counter)  # documents kept
    dropped: np.ndarray = field(init=False)  # int64 (reasons): for this reason first
    only: np.ndarray = field(init=False)  # int64 (reasons): by this rule and no other that measured them
    beyond: np.ndarray = field(init=False)  # int64 (reasons, reasons): both hold; the diagonal: it holds
    joint: int = 0  # documents for which any holds

    def __post_init__(self) -> None:
        self.dropped, self.only = np.zeros(self.reasons, np.int64), np.zeros(self.reasons, np.int64)
        self.beyond = np.zeros((self.reasons, self.reasons), np.int64)

    def add(self, decided: Decided, batch: Rows, tokens: np.ndarray) -> None:
        """Count the decisions on some documents; `tokens` int64 (rows)."""
        stays = decided.fate == STAYS
        self.kept.add(stays, batch, tokens)
        self.unknown.add(decided.fate == UNKNOWN, batch, tokens)
        self.by_source[batch.source] += int(stays.sum())
        if not self.reasons:
            return
        held = decided.beyond.sum(axis=1)
        self.joint += int((held > 0).sum())
        self.dropped += np.bincount(decided.first[decided.first >= 0], minlength=self.reasons)
        self.only += decided.beyond[(held == 1) & ~decided.fixed].sum(axis=0)
        some = decided.beyond[held > 0]
        for number in np.flatnonzero(some.any(axis=0)):  # few rows each, where a product would take all of them
            self.beyond[number] += some[some[:, number]].sum(axis=0)
