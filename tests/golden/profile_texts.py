"""Write the golden file of profiles: short texts, and why each profile drops each of them.

python -m tests.golden.profile_texts

The texts are some of tests/corpus.py, hostile ones, and of many made near the limits, shortest first, those that
a profile drops for a reason for which it drops none before. Needs spaCy: some profiles take their words from it.
The language is not identified, for that takes a model; for filters of code every text is one of Python.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from curator import IdentifyLanguage, frames, profile, profiles
from curator.run.batches import Steps
from tests.corpus import WORDS, documents, prose, sentence

GOLDEN = Path(__file__).with_name("profiles.jsonl")
LONGEST = 900  # characters of most texts: the file is to be read
MADE_WORSE = 20_000
STEADY = (
    "It was the best of times to be alive and the worst of them that people have ever met with in a long while.\n"
    "Nobody knew quite what would come next, so most stayed at home and read old letters by the fire.\n"
    "They mended their coats, counted silver spoons twice over, then went early to bed while rain fell.\n"
    "In spring the roads dried, and whoever owned a cart drove to town for salt, news and a new hat.\n"
    "Some came back with neither, yet nobody minded, for summer was near and the wells were full."
)  # no profile drops it
LONG = [word for word in WORDS if len(word) > 5]
COMPOUNDS = [first + second for shift in (1, 2, 3) for first, second in zip(LONG, LONG[shift:])]  # all different
CODE = "".join(f"def f{n}(x):\n    # add {n}\n    return x + {n}\n\n\n" for n in range(5))
HOSTILE: tuple[str | None, ...] = (
    None,
    *("", " ", "\n", "\n\n", " \n \n ", "\x00", "\x00" * 60, "\u3000\u2028\x85", "\ufeff", "word", "two words"),
    *(CODE, CODE.replace("# ", "x = "), CODE.replace("  ", "# "), f"{STEADY}\nREAD THIS\n3 likes\nMORE"),
    *("." * 200, "# " * 80, "… " * 60, "x" * 800, "x\r\n" * 60, "😀 " * 60, "中文。" * 80, "\U000e0041 " * 60),
    *(STEADY, STEADY + "\n", STEADY.replace("\n", "\r\n"), STEADY.replace("\n", "\n\n"), STEADY.replace("\n", " ")),
    *(STEADY.replace("\n", "\u2028"), STEADY.replace(" ", "\u00a0"), "\x00" + STEADY, STEADY.upper(), STEADY[::-1]),
    *(
        f"{STEADY}\nLorem ipsum dolor sit amet.",
        f"{STEADY}\nIn C one writes {{}} for nothing at all.",
        STEADY.replace(".", ""),
    ),
    f"{STEADY}\nPlease enable JavaScript to see the comments.\nWe use cookies, see our privacy policy.",
    STEADY.replace(".", ".[1]").replace(",", ",[citation needed]"),
    "\n".join(f"Read our terms of use, part {number}." for number in range(9)),
    f"We use cookies.\n\n{STEADY}",
    STEADY.replace("\n", "...\n") + "..",
    STEADY.replace(".\n", "…\n"),
    *("\n".join(f"{mark} {line}" for line in STEADY.split("\n")) for mark in "•-*"),
    f"{STEADY}\nhttps://example.org/{'path/' * 40}",
    STEADY.replace(" the ", " #the# ").replace(" a ", " #a "),
    STEADY.replace(" ", " (x) "),
    f"{STEADY} {'1984 ' * 30}",
    f"{STEADY}\n{'i ' * 80}",
    f"{STEADY} {'pneumonoultramicroscopic ' * 40}",
    f"The way to the {' '.join(COMPOUNDS)} is long.",
    f"The way to {' '.join(f'({word})' for word in COMPOUNDS)} is to be shut.",
)
NOISE = (
    "#",
    "#tag",
    "...",
    "…",
    "12",
    "1.5",
    "-",
    "•",
    "(",
    "]",
    "~",
    "I",
    "of",
    "straightforwardness",
    "http://a.b/c",
)


def near_limits(rng: random.Random) -> str:
    """Return prose that has been made worse in one to three ways."""
    text = prose(rng, rng.randint(4, 9))
    for _ in range(rng.randint(1, 3)):
        text = rng.choice((copied_words, copied_lines, noisy, cut_lines, changed_ends, doubled_breaks))(rng, text)
    return text


def copied_words(rng: random.Random, text: str) -> str:
    words = text.split(" ")
    start, size = rng.randrange(len(words)), rng.choice((2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 16, 20))
    for _ in range(rng.randint(1, 9) if size < 5 else rng.randint(1, 2)):
        place = rng.randrange(len(words))
        words[place:place] = words[start : start + size]
    return " ".join(words)


def copied_lines(rng: random.Random, text: str) -> str:
    lines = text.split("\n")
    for _ in range(rng.randint(1, 4)):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice([*lines, sentence(rng)]))
    return "\n".join(lines)


def noisy(rng: random.Random, text: str) -> str:
    words, share, mark = text.split(" "), rng.choice((0.03, 0.1, 0.2, 0.5)), rng.choice(NOISE)
    return " ".join(f"{word} {mark}" if rng.random() < share else word for word in words)


def cut_lines(rng: random.Random, text: str) -> str:
    words, width = text.split(" "), rng.choice((1, 2, 3, 5, 8, 12))
    return "\n".join(" ".join(words[i : i + width]) for i in range(0, len(words), width))


def changed_ends(rng: random.Random, text: str) -> str:
    begin, end, share = rng.choice(("", "", "- ", "* ", "• ")), rng.choice(("", ".", "...", "…", ";")), rng.random()
    lines = text.replace(". ", ".\n").split("\n")
    return "\n".join(begin + line.rstrip(".!?") + end if rng.random() < share else line for line in lines)


def doubled_breaks(rng: random.Random, text: str) -> str:
    return text.replace("\n", rng.choice(("\n\n", "\n\n\n", " \n \n", "\r\n", " ")))


def one_copy(rng: random.Random, words: int, size: int) -> str:
    """Return prose of so many words, the last of which are a copy of the first ones."""
    said = prose(rng, words // 6).split()[: words - size]
    return " ".join([*said, *said[:size]])


def candidates(rng: random.Random) -> list[str]:
    """Return the texts to choose from, the shortest ones first."""
    worse = (near_limits(rng)[:LONGEST] for _ in range(MADE_WORSE))
    copies = (one_copy(rng, words, size) for size in range(20, 25) for words in range(9 * size, 12 * size))
    return sorted([*worse, *copies], key=len)


def first_reasons(name: str, texts: list[str | None]) -> list[str]:
    """Return the stage and reason for which a profile drops each text, "" where it keeps it."""
    stages = list(enumerate(stage for stage in profile(name) if not isinstance(stage, IdentifyLanguage)))
    numbers = pa.array(range(len(texts)), pa.uint64())
    urls = pa.array(["https://example.org/code.py"] * len(texts), pa.large_string())
    table = pa.table({"doc_id": numbers, "url": urls, "text": pa.array(texts, pa.large_string())})
    outcome = Steps(stages, {index: type(stage).__name__ for index, stage in stages}).apply(frames.from_arrow(table))
    dropped = {row["doc_id"]: f"{row['stage']}.{row['reason']}" for row in outcome.dropped.to_pylist()}
    return [dropped.get(number, "") for number in range(len(texts))]


def chosen(always: list[str | None], others: list[str | None]) -> Iterator[tuple[str | None, dict[str, str]]]:
    """Yield texts with the reason of each profile: the first ones all, of the others those with a reason unmet."""
    texts = [*always, *others]
    columns = {name: first_reasons(name, texts) for name in profiles.names()}
    met: set[tuple[str, str]] = set()
    for number, text in enumerate(texts):
        reasons = {name: column[number] for name, column in columns.items()}
        if number < len(always) or not met.issuperset(reasons.items()):
            met |= set(reasons.items())
            yield text, reasons


if __name__ == "__main__":
    corpus = [document["text"][:LONGEST] for document in documents(12, seed=31)]
    found = chosen([*HOSTILE, *corpus], [*candidates(random.Random(29))])
    rows = [json.dumps({"text": text, **reasons}) for text, reasons in found]
    GOLDEN.write_text("\n".join(rows) + "\n")
    sys.stdout.write(f"{len(rows)} texts\n")
