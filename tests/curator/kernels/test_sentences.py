"""The number of sentences against the rule in plain Python, and sentences anyone would count."""

import itertools
import random
import re
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels.arrow import flatten
from curator.kernels.sentences import ABBREVIATIONS, count_sentences, sentence_classes
from curator.kernels.shingles import frozen
from curator.kernels.unicode import TERMINAL_PUNCTUATION

WIDE = "。！？｡"
PIECES = [
    *("a", "B", "word", "Word", "USA", "U.S", "p", "Mr", "e.g", "a.m", "Messrs", "xMr", "Mr.Mr", "5", "é", "É"),
    *("ǅ", "中"),
    *(".", ".", "..", "...", "!", "?", "؟", "。", "！", "…"),
    *('"', "”", "'", ")", "(", "]", "`", "<", "™", "😀", "$", "-", ",", "’s", "\U000e0041", "\x00"),
    *(" ", " ", "  ", "\t", "\n", "\n\n", "\r\n", "\x1c", "\x1f", "\x85", "\u2028", "\u00a0"),
]  # fmt: skip


def punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] == "P" or character in TERMINAL_PUNCTUATION


def closing(character: str) -> bool:
    return punctuation(character) or unicodedata.category(character) == "So" or character in "<>`´"


def full_stop(run: str, i: int) -> bool:
    """Tell whether the full stop at run[i] may end a sentence."""
    before, after = run[:i], run[i + 1 :]
    if before.endswith(".") or after.startswith("."):
        return False
    if before and before[-1].isupper():
        return len(before) > 1 and before[-2].isupper()
    if before and before[-1].isalpha():
        alone = len(before) == 1 or (len(before) == 2 and punctuation(before[0]))
        return not alone and re.search(r"[A-Za-z.]*\Z", before).group() not in ABBREVIATIONS
    return True


def ends(run: str, i: int) -> bool:
    """Tell whether a sentence ends at run[i]."""
    if run[i] in WIDE:
        return True
    if run[i] not in TERMINAL_PUNCTUATION or (run[i] == "." and not full_stop(run, i)):
        return False
    before, after = run[:i], run[i + 1 :]
    lower = before and before[-1].isalpha() and not before[-1].isupper()
    if run[i] == "." and lower and after and after[0].isupper():
        return True
    return all(closing(character) and character not in WIDE for character in after)


def sentences(text: str) -> int:
    found = 0
    for line in text.splitlines():
        found += bool(line.strip())
        over = False
        for run in line.split():
            for i, character in enumerate(run):
                found += over and not punctuation(character)
                over &= punctuation(character)
                over |= ends(run, i)
    return found


def counted(texts: list[str]) -> list[int]:
    offsets, data = flatten(pa.array(texts, pa.large_string()))
    data = frozen(data)
    return [count_sentences(data[a:b], sentence_classes()) for a, b in itertools.pairwise(offsets)]


def test_against_plain_python():
    choose = random.Random(1)
    texts = ["".join(choose.choices(PIECES, k=choose.choice([2, 5, 12, 60]))) for _ in range(8000)]
    assert counted(texts) == [sentences(text) for text in texts]


@given(st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=20).map("".join), max_size=5))
def test_against_plain_python_on_any_text(texts):
    assert counted(texts) == [sentences(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0),
        (" \n\r\n\u2028", 0),
        ("no mark", 1),
        ("One. Two! Three? Four.", 4),
        ("One.\nTwo\n\nThree.", 3),
        ('He said: "Go." She (as ever) went.)', 2),
        ("Mr. J. Smith of the U.S. came at 5 p.m. on Jan. 3, i.e. late. He left.", 2),
        ("It was for NASA. So it went.", 2),
        ("The Oriental's. It was (see p. 5). And vitamin c. But no.", 3),
        ("Wait... what? Oh.. no.", 2),
        ("It costs 3.5 dollars at www.example.com. Really!?! Yes.", 3),
        ("the end.The next", 2),
        ("他来了。他走了！", 2),
        ("Trailing marks. ?! ...", 1),
    ],
)
def test_counts(text, number):
    assert counted([text]) == [number]


def test_a_long_run_of_marks_takes_no_longer_than_its_length():
    assert counted(["!" * 300_000 + "a " + "." * 300_000 + "a"]) == [1]  # hours, if each looked at all behind it
