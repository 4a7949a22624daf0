"""A small made corpus with everything a pipeline meets: prose, junk, copies, near-copies, other languages."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

WORDS = (
    "the of and to in that is was for it with as his on be at by had not are but from or have an they which "
    "one you were all her she there would their we him been has when who will no more if out so up said what "
    "its about than into them can only other time new some could these two may first then do any like my now "
    "over such our man me even most made after also did many off before must well back through years much "
    "where your way down should because long each just state those people too mr how little good world make "
    "very year still see own work men day get here old life both between being under three never know same "
    "last another while us might great go come since against right came take used himself few house use "
    "during without again place around however small found river valley weather mountain engine harvest "
    "library museum teacher window garden market history language"
).split()


def sentence(rng: random.Random) -> str:
    """Return one made sentence."""
    words = [rng.choice(WORDS) for _ in range(rng.randint(6, 18))]
    return " ".join(words).capitalize() + rng.choice(".....!?")


def prose(rng: random.Random, sentences: int) -> str:
    """Return paragraphs of made sentences."""
    said = [sentence(rng) for _ in range(sentences)]
    return "\n\n".join(" ".join(said[i : i + 5]) for i in range(0, len(said), 5))


def documents(count: int = 240, seed: int = 7) -> list[dict[str, Any]]:
    """Return records {id, url, text}: about a third of them junk, copies or near-copies of others."""
    rng = random.Random(seed)
    made: list[dict[str, Any]] = []
    for number in range(count):
        kind = rng.random()
        if kind < 0.60 or not made:
            text = prose(rng, rng.randint(12, 40))
        elif kind < 0.70:
            text = rng.choice(made)["text"]
        elif kind < 0.82:
            words = rng.choice(made)["text"].split(" ")
            words[rng.randrange(len(words))] = "altered"
            text = " ".join(words)
        elif kind < 0.86:
            text = "Buy now! " * rng.randint(40, 80)
        elif kind < 0.90:
            text = sentence(rng)
        elif kind < 0.94:
            text = "Der schnelle braune Fuchs springt über den faulen Hund und läuft davon. " * rng.randint(8, 12)
        elif kind < 0.97:
            text = prose(rng, 15).replace("e", "Ã©") + "\x00\x07"
        else:
            text = ""
        made.append({"id": f"doc-{number:05d}", "url": f"http://example.org/{number}", "text": text})
    return made


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    """Write records as JSON lines, compressed where the name ends in .gz."""
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(lines, mtime=0) if path.suffix == ".gz" else lines)
    return path


def write_parts(folder: Path, records: list[dict[str, Any]], parts: int, ending: str = ".jsonl") -> str:
    """Spread records, in order, over some files; return the glob that names them."""
    each = -(-len(records) // parts)
    for number in range(parts):
        write_jsonl(folder / f"part-{number:02d}{ending}", records[number * each : (number + 1) * each])
    return str(folder / f"part-*{ending}")
