"""Personal data, found and replaced, or only found."""

from __future__ import annotations

import functools
import string
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from curator import frames
from curator.clean.pii import presidio
from curator.clean.pii.entities import DISGUISED_EMAIL, ENTITIES, Entity
from curator.clean.pii.find import Found, found
from curator.edit import Edit, Spans
from curator.errors import SpecError
from curator.stage import Frame, Rule, at_most
from millrace.config import did_you_mean

KINDS = tuple(entity.kind for entity in ENTITIES)


@dataclass(frozen=True)
class RedactPii(Edit):
    """Replace personal data and secrets in texts by placeholders, or say only where they stand.

    `action` is `redact`; or `tag`, which leaves the text and keeps the spans as signals; or `drop`, which also
    leaves it and rejects a document that holds more than `max_entities`. Kept in each case: `pii_cut_starts`,
    `pii_cut_stops` (bytes of the UTF-8 that came in) and `pii_cut_kinds`, side by side; `pii_entities`, how many
    there are; and `pii_cut_share`, the share of the bytes that they take. Their texts are not kept.

    What is searched for, and what is left alone, says `curator.clean.pii.entities`, in short: e-mail addresses
    but those of example.com and its like; telephone numbers that show as such by prefix, form or a word before
    them; IP addresses of the public net; cards by issuer and Luhn; IBANs by country, length and mod 97; US social
    security numbers; keys by the marks of their issuers, private key blocks, and random values after a name such
    as api_key. An entity lies in one line. Of two that overlap the leftmost is taken, of those the longest, of
    those the first in the order of KINDS. Redacting twice is redacting once while a placeholder ends at both ends
    with a mark, such as < or [; `replacement="reserved"` gives that where white space is around.

    `presidio` adds names of persons and places (kinds `person` and `location`) by presidio-analyzer with a spaCy
    `model` that is installed, or a folder of one; ModelError where either is missing, before anything is read. Its
    results are those of a statistical model, and its speed too.

    Missing and empty texts have none. Cost without Presidio: time in proportion to the bytes, whatever they are;
    on web text 47 MB/s a core (2017 server core), on the worst line found about 0.5 MB/s.
    """

    entities: tuple[str, ...] = KINDS
    action: Literal["redact", "tag", "drop"] = "redact"
    max_entities: int = 0  # of action="drop": a document with more is dropped
    replacement: Literal["placeholder", "reserved"] = "placeholder"  # reserved: email@example.com, 192.0.2.1, ...
    placeholder: str = "<{kind}>"  # {kind} is the kind in capitals
    disguised: bool = False  # also name [at] host dot com
    presidio: bool = False
    model: str = "en_core_web_lg"  # Presidio's own default
    language: str = "en"  # of the model
    max_cut: float = 1.0  # share of a text's bytes; redact only
    min_characters: int = 1  # that must be left; redact only

    name: ClassVar = "pii"

    def __post_init__(self) -> None:
        for kind in self.entities:
            if kind not in KINDS:
                known = f"Entities: {', '.join(KINDS)}"
                raise SpecError(f"RedactPii.entities: no entity {kind}.{did_you_mean(kind, KINDS)} {known}")
        if not self.entities and not self.presidio:
            raise SpecError("RedactPii.entities is empty; there would be nothing to find")
        if self.action != "drop" and self.max_entities:
            raise SpecError(f"RedactPii.max_entities is of action 'drop'; action is {self.action!r}")
        if self.max_entities < 0:
            raise SpecError(f"RedactPii.max_entities is {self.max_entities}; it must be at least 0")
        if not 0 <= self.max_cut <= 1:
            raise SpecError(f"RedactPii.max_cut is {self.max_cut}; it must be from 0 to 1")
        _fields_of(self.placeholder)

    @property
    def libraries(self) -> tuple[str, ...]:  # type: ignore[override]
        if not self.presidio:
            return ()
        return ("presidio-analyzer", "spacy", *([self.model] if presidio.is_package(self.model) else []))

    def named_files(self) -> dict[str, tuple[str, ...]]:
        """Return the files of a model that is a folder; one that is a package is known by its version."""
        files = presidio.files_of(self.model) if self.presidio else ()
        return {"model": files} if files else {}

    @property
    def signals(self) -> dict[str, str]:  # type: ignore[override]
        return {**super().signals, "pii_entities": "int64"}

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        by_action = {"redact": super().rules, "drop": (at_most("personal_data", "pii_entities", "max_entities"),)}
        return by_action.get(self.action, ())

    def check(self, output: str) -> None:
        if self.presidio:
            presidio.check(self.model)

    def spans(self, frame: Frame) -> Spans:
        texts = frames.column_to_arrow(frame["text"]).cast(pa.large_string())
        searched = _searched(self.entities, self.disguised)
        spans = found(texts, searched)
        kinds = [entity.kind for entity in searched]
        if self.presidio:
            kinds += presidio.KINDS.values()
            spans = self._with_names(texts, spans, kinds)
        rows, starts, stops, numbers = np.array(spans, np.int64).reshape(-1, 4).T
        first = np.searchsorted(rows, np.arange(len(texts) + 1))
        told = np.array(kinds, object)[numbers]
        return Spans(first, starts, stops, {"kinds": told}, fills=self._fills(kinds), fill=numbers)

    def measure(self, frame: Frame) -> Frame:
        measured = super().measure(frame)
        kinds = frames.column_to_arrow(measured["pii_cut_kinds"])
        counted = {"pii_entities": np.diff(np.asarray(kinds.offsets)).astype(np.int64)}
        measured = measured.assign(**{n: frames.like(frame["text"], counted)[n] for n in counted})
        return measured if self.action == "redact" else measured.assign(text=frame["text"])

    def _fills(self, kinds: list[str]) -> tuple[str, ...]:
        reserved = {entity.kind: entity.reserved for entity in ENTITIES} if self.replacement == "reserved" else {}
        return tuple(reserved.get(kind, self.placeholder.format(kind=kind.upper())) for kind in kinds)

    def _with_names(self, texts: pa.LargeStringArray, spans: list[Found], kinds: list[str]) -> list[Found]:
        """Add the names that overlap nothing found by its form."""
        taken: dict[int, list[Found]] = {}
        for span in spans:
            taken.setdefault(span[0], []).append(span)
        for row, text in enumerate(texts.to_pylist()):
            own = taken.setdefault(row, [])
            for start, stop, kind in presidio.names(text, self.model, self.language) if text else ():
                if all(stop <= a or b <= start for _, a, b, _ in own):
                    own.append((row, start, stop, kinds.index(kind)))
        return sorted(span for own in taken.values() for span in own)


@functools.cache
def _searched(entities: tuple[str, ...], disguised: bool) -> tuple[Entity, ...]:
    """Return what to search for, in order of priority."""
    chosen = tuple(entity for entity in ENTITIES if entity.kind in entities)
    return (*chosen, DISGUISED_EMAIL) if disguised and "email" in entities else chosen


def _fields_of(placeholder: str) -> None:
    """Refuse a template that asks for anything but {kind}."""
    try:
        asked: list[Any] = [field for _, field, _, _ in string.Formatter().parse(placeholder) if field is not None]
    except ValueError as error:
        raise SpecError(f"RedactPii.placeholder is {placeholder!r}: {error}") from None
    if set(asked) - {"kind"}:
        raise SpecError(f"RedactPii.placeholder is {placeholder!r}; it may hold {{kind}} and nothing else in braces")
