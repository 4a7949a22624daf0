"""Plant benchmark items into documents, as they are and edited."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Edit = Callable[[tuple[str, ...], random.Random], str | None]  # None: the item cannot be edited so
WORD, NUMBER, SENTENCE = re.compile(r"\w+"), re.compile(r"\d+"), re.compile(r"(?<=[.!?]) +")
FILLERS = "amber bottle candle dollar engine forest gravel harbour island jacket kettle ladder marble needle".split()


def verbatim(texts: tuple[str, ...], rng: random.Random) -> str:
    """The texts, a line each."""
    return "\n".join(texts)


def layout(texts: tuple[str, ...], rng: random.Random) -> str:
    """Other case, punctuation and white space; the words stay."""
    text = re.sub(r"[^\w\s]", lambda _: rng.choice([" ", ",", " - ", "; "]), "\n".join(texts)).swapcase()
    return re.sub(r"\s+", lambda _: rng.choice([" ", "\n", "  ", "\t", "\r\n"]), text)


def labelled(texts: tuple[str, ...], rng: random.Random) -> str | None:
    """Choices behind letters, as exams are printed."""
    if len(texts) < 3:
        return None
    return "\n".join([texts[0], *(f"{letter}. {text}" for letter, text in zip("ABCDEFGH", texts[1:]))])


def replaced(every: int) -> Edit:
    """One word in so many is another."""

    def edit(texts: tuple[str, ...], rng: random.Random) -> str:
        place = iter(range(rng.randrange(every), 10**9))
        return WORD.sub(lambda m: m[0] if next(place) % every else rng.choice(FILLERS), "\n".join(texts))

    return edit


def numbers(texts: tuple[str, ...], rng: random.Random) -> str | None:
    """Every number is another."""
    whole = "\n".join(texts)
    return NUMBER.sub(lambda m: str(int(m[0][:15]) + rng.randint(1, 9)), whole) if NUMBER.search(whole) else None


def shortened(texts: tuple[str, ...], rng: random.Random) -> str | None:
    """A sentence of the question is missing."""
    sentences = SENTENCE.split(texts[0])
    if len(sentences) < 2:
        return None
    del sentences[rng.randrange(len(sentences))]
    return "\n".join([" ".join(sentences), *texts[1:]])


EDITS: dict[str, Edit] = {
    "verbatim": verbatim,
    "case, punctuation, spaces": layout,
    "choices behind letters": labelled,
    "numbers changed": numbers,
    "a sentence missing": shortened,
    **{f"1 word in {k} replaced": replaced(k) for k in (50, 30, 20, 14, 10)},
}


def planted(texts: tuple[str, ...], host: str, edit: str, seed: str) -> str | None:
    """Return a document with an edited item in its middle, None where it cannot be edited so."""
    rng = random.Random(f"{seed} {edit}")
    said = EDITS[edit](texts, rng)
    middle = host.find("\n", len(host) // 2)
    middle = len(host) // 2 if middle < 0 else middle
    return None if said is None else f"{host[:middle]}\n\n{said}\n\n{host[middle:]}"
