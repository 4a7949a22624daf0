"""What became of the records: how many were read, kept and dropped, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from align.data.record import Unfit
from align.errors import DataError


@dataclass
class Dropped:
    """Counts by reason, with the first record of each; grows while data is read."""

    what: str = "records"
    read: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)  # reason -> place and detail
    notes: Counter[str] = field(default_factory=Counter)  # what was done to records that are kept

    @property
    def total(self) -> int:
        """Records that were dropped."""
        return self.reasons.total()

    def add(self, place: str, unfit: Unfit) -> None:
        """Count a record that is dropped."""
        self.reasons[unfit.reason] += 1
        self.first.setdefault(unfit.reason, f"{place}: {unfit.detail}" if unfit.detail else place)

    def text(self) -> str:
        """Return one line a reason and note, for the console and the log; "" where there is nothing to say."""
        lines = [
            f"dropped {count:,} of {self.read:,} {self.what}: {reason} (first: {self.first[reason]})"
            for reason, count in self.reasons.most_common()
        ]
        lines += [f"{note}: {count:,} of {self.read:,} {self.what}" for note, count in self.notes.most_common()]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; `of` makes the same of them."""
        return {**vars(self), "reasons": dict(self.reasons), "notes": dict(self.notes)}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Dropped:
        """Return what `as_dict` gave."""
        return cls(**{**values, "reasons": Counter(values["reasons"]), "notes": Counter(values["notes"])})

    def refuse_if_all(self) -> None:
        """Raise DataError where records were read and none is left, or none was there."""
        if not self.read:
            raise DataError(f"the data set is empty: its files hold no {self.what}")
        if self.total == self.read:
            told = "; ".join(
                f"{reason}: {n:,} (first: {self.first[reason]})" for reason, n in self.reasons.most_common()
            )
            raise DataError(f"none of {self.read:,} {self.what} can be used: {told}")
