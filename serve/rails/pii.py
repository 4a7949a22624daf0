"""Personal data and secrets, by whatever finds them: serving hands over the curator's stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from millrace.errors import MillraceError
from serve.errors import RailError
from serve.rails.rail import Action, Message, Side, Verdict

Redactor = Callable[[str], tuple[str, int]]  # text -> the text redacted, and how many entities it held


@dataclass(frozen=True)
class PiiSettings:
    """What is looked for and what is put in its place."""

    entities: tuple[str, ...] = ()  # email, phone, ...; (): all
    placeholder: str = "<{kind}>"  # {kind} is the kind in capitals
    disguised: bool = False  # also name [at] host dot com
    presidio: bool = False  # also names of persons and places, by a statistical model
    model: str = "en_core_web_lg"  # Presidio's: an installed spaCy model, or a folder
    language: str = "en"  # of that model


@dataclass(frozen=True)
class Pii:
    """Find personal data and secrets.

    Cost: the redactor's; of the curator's 2.4 ms a text of 2,000 characters (benchmarks/results/rails_cost.md).
    """

    kind: ClassVar[str] = "pii"
    actions: ClassVar[tuple[Action, ...]] = ("redact", "refuse", "flag")

    settings: PiiSettings
    redact: Redactor

    def prepare(self) -> None:
        """Redact a text, so that whatever the redactor loads is there."""
        self.check("prepare", "input", ())

    def check(self, text: str, side: Side, before: Sequence[Message]) -> Verdict:
        """Find the entities in a text. Raises RailError where the redactor fails."""
        try:
            redacted, found = self.redact(text)
        except MillraceError as error:
            raise RailError(f"personal data cannot be looked for: {type(error).__name__}") from error
        return Verdict(not found, redacted, f"{found} entities" if found else "", found)
