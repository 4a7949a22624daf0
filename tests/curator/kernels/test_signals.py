"""The kernel against an oracle in plain Python, written from the definitions."""

import random
import re
import statistics
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels.arrow import flatten
from curator.kernels.counts import char_classes, characters, decode
from curator.kernels.phrases import FILLER, POLICY
from curator.kernels.signals import SIGNALS, measure
from curator.kernels.unicode import OTHER_LETTERS, PUNCTUATION_CHARACTERS, TERMINAL_PUNCTUATION
from curator.kernels.word_counts import STOP_WORDS
from tests.curator.kernels.test_sentences import sentences

NAMES = tuple(SIGNALS)
PIECES = [
    *("a", "b", "ab", "the", "of", "that", "The", "12", "x.y", "é", "中", "文", "𝒳", "😀", "\U000e0041"),
    *(".", "...", "…", "#", "•", "-", "。", "!", "॥", "\x00"),
    *(" ", "\t", "\n", "\n\n", "\n \n", "\r\n", "\r", "\x0b", "\x0c", "\x1c", "\x1f", "\x85"),
    *("\u00a0", "\u2028", "\u2029", "\u3000"),
    *(
        "http://",
        "https",
        "://a",
        "%7E/",
        "~",
        "http",
        "[",
        "]",
        "(",
        ")",
        "{",
        "\u27e8",
        "\u27e9",
        "\u27e7",
        "\b",
        "*",
    ),
    *("#a#", "a#", "‣", "◦", "-»", "»", "[...]", "(...)", "[…]", "(…)", "read more", "Read More..", "read", " more"),
    *(
        "Ⅷ",
        "ⓐ",
        "'",
        '"',
        "?",
        "Terms of Use",
        "lorem",
        " ipsum",
        "Cookie Policy",
        "uses cookies",
        "PRIVACY ",
        "policy",
    ),
    *("{", "lorem", "IPSUM", "Lorem ipsum", "Mr.", "U.S.", "e.g.", '."', "?", ")", "(p."),
]
STOPS = {"the", "be", "to", "of", "and", "that", "have", "with"}


def ratio(a: int, b: int) -> float:
    return a / b if b else 0.0


def duplicates(pieces: list[str]) -> tuple[float, int]:
    """Return the fraction of the pieces that stand earlier in the list, and their characters."""
    again = [piece for i, piece in enumerate(pieces) if piece in set(pieces[:i])]
    return ratio(len(again), len(pieces)), sum(map(len, again))


def top_ngram(words: list[str], n: int) -> int:
    ngrams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    if not ngrams:
        return 0
    most = max(ngrams.values())
    return next(len(ngram) * most for ngram, times in ngrams.items() if times == most)


def duplicate_ngrams(words: list[str], n: int) -> int:
    known, total, i = set(), 0, 0
    while i + n <= len(words):
        ngram = "".join(words[i : i + n])
        if ngram in known:
            total += len(ngram)
            i += n
        else:
            known.add(ngram)
            i += 1
    return total


def nemo(text: str) -> dict[str, float]:
    """NeMo Curator's, from what its filters say they count."""
    words, lines = text.split(), [line for line in text.split("\n") if line.strip()]
    sections, size = text.split("\n\n"), len(text)
    kinds = {
        "other_characters": lambda c: not re.fullmatch(r"[a-zA-Z0-9\n?!,.]", c),
        "digits": lambda c: c in "0123456789",
        "white_space": lambda c: c in "\t\n\r\b ",
        "brackets": lambda c: c in "()[]{}\u27e8\u27e9",
    }
    marks = {"...", "…", "[...]", "(...)", "[…]", "-»"}
    ends = tuple(marks | {"read more", "read more.."})
    folded = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in text)
    flagged = [any(phrase in section for phrase in POLICY) for section in folded.split("\n\n")]
    boilerplate = len(sections) if FILLER[0] in folded else sum(flagged)
    return {
        **{name: ratio(sum(map(test, text)), size) for name, test in kinds.items()},
        "url_characters": ratio(sum(map(len, re.findall(r"https?://[!$-_a-z]+", text))), size),
        "longest_word": max(map(len, words), default=0),
        "mean_length_of_words": ratio(sum(map(len, words)), len(words)),
        "letter_words": ratio(sum(any(c.isalpha() or c in OTHER_LETTERS for c in word) for word in words), len(words)),
        "symbol_words": ratio(
            sum(word in marks or 2 * len(re.findall("#+", word)) > len(word) for word in words), len(words)
        ),
        "stop_word_places": sum(word in STOPS for word in words),
        "unended_lines": ratio(sum(line.strip()[-1] not in ".?!\"'" for line in lines), len(lines)),
        "more_lines": ratio(sum(line.strip().lower().endswith(ends) for line in lines), len(lines)),
        "round_bullet_lines": ratio(sum(line.strip()[0] in "•‣⁃⁌⁍∙○●◘◦⦾⦿" for line in lines), len(lines)),
        "unique_text_lines": ratio(len(set(lines)), len(lines)),
        "unique_text_line_characters": ratio(len("".join(set(lines))), len("".join(lines))),
        "unique_sections": ratio(len(set(sections)), len(sections)),
        "unique_section_characters": ratio(len("".join(set(sections))), len("".join(sections))),
        "boilerplate_sections": ratio(boilerplate, len(sections)),
        **{f"deleted_{n}_gram_characters": ratio(deleted(text, words, n), size) for n in (2, 3, 4)},
        **{f"repeated_{n}_gram_characters": ratio(repeated(text, words, n), size) for n in range(5, 11)},
    }


def deleted(text: str, words: list[str], n: int) -> int:
    ngrams = Counter(" ".join(words[i : i + n]) for i in range(len(words) - n + 1))
    if not ngrams:
        return len(text)
    top = next(ngram for ngram in ngrams if ngrams[ngram] == max(ngrams.values()))
    return len(text) - len(text.replace(top, ""))


def repeated(text: str, words: list[str], n: int) -> int:
    """Mark the words of every n-gram that came before, and the spaces between them."""
    if len(words) < n:
        return len(text)
    known, marked = set(), set()
    for i in range(len(words) - n + 1):
        ngram = tuple(words[i : i + n])
        if ngram in known:
            marked |= {(i + k, " ") for k in range(n - 1)} | {(i + k, "word") for k in range(n)}
        known.add(ngram)
    return sum(len(words[place]) if kind == "word" else 1 for place, kind in marked)


def recurring(words: list[str], n: int) -> float:
    ngrams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    sizes = {ngram: times * sum(map(len, ngram)) for ngram, times in ngrams.items()}
    return ratio(sum(size for ngram, size in sizes.items() if ngrams[ngram] > 1), sum(sizes.values()))


def dolma(text: str) -> dict[str, float]:
    words, lines = text.split(), text.split("\n")
    lengths = sorted(map(len, words))
    again = [line for line in lines if lines.count(line) > 1]
    tops = {n: Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1)).most_common(1) for n in (2, 3, 4)}
    letters = {n: sum(times * len("".join(ngram)) for ngram, times in top) for n, top in tops.items()}
    return {
        "median_length_of_words": statistics.median(lengths) if lengths else 0.0,
        "sign_words": ratio(sum("#" in word or "…" in word for word in words), len(words)),
        "star_lines": ratio(sum(line.startswith(("*", "-")) for line in lines), len(lines)),
        "dots_lines": ratio(sum(line.endswith("…") for line in lines), len(lines)),
        "recurring_lines": ratio(len(again), len(lines)),
        "recurring_line_characters": ratio(len("".join(again)), sum(lengths)),
        **{f"top_{n}_gram_letters": ratio(letters[n], sum(lengths)) for n in (2, 3, 4)},
        **{f"recurring_{n}_grams": recurring(words, n) for n in range(5, 11)},
    }


def fineweb(text: str) -> dict[str, float]:
    lines = [line for line in text.split("\n") if line.strip()]
    return {
        "text_lines": len(lines),
        "terminal_lines": ratio(sum(line[-1] in TERMINAL_PUNCTUATION for line in lines), len(lines)),
        "short_lines": ratio(sum(len(line) <= 30 for line in lines), len(lines)),
        "duplicate_text_line_characters": ratio(duplicates(lines)[1], len(text.replace("\n", ""))),
        "newline_ratio": ratio(text.count("\n"), len(text.split())),
    }


def oracle(text: str) -> dict[str, float]:
    words, lines = text.split(), text.splitlines()
    nonsymbol = [word for word in words if set(word) - PUNCTUATION_CHARACTERS]
    duplicate_lines, line_characters = duplicates(re.split(r"\n+", text))
    duplicate_paragraphs, paragraph_characters = duplicates(re.split(r"\n\n+", text.strip()))
    return {
        "characters": len(text),
        "words": len(words),
        "nonsymbol_words": len(nonsymbol),
        "mean_word_length": ratio(sum(map(len, nonsymbol)), len(nonsymbol)),
        "hash_ratio": ratio(text.count("#"), len(words)),
        "ellipsis_ratio": ratio(text.count("...") + text.count("…"), len(words)),
        "bullet_lines": ratio(sum(line.lstrip()[:1] in {"•", "-"} for line in lines), len(lines)),
        "ellipsis_lines": ratio(sum(line.rstrip().endswith(("...", "…")) for line in lines), len(lines)),
        "alpha_words": ratio(sum(any(map(str.isalpha, word)) for word in words), len(words)),
        "stop_words": len(set(words) & {"the", "be", "to", "of", "and", "that", "have", "with"}),
        "duplicate_lines": duplicate_lines,
        "duplicate_line_characters": ratio(line_characters, len(text)),
        "duplicate_paragraphs": duplicate_paragraphs,
        "duplicate_paragraph_characters": ratio(paragraph_characters, len(text)),
        **{f"top_{n}_gram_characters": ratio(top_ngram(words, n), len(text)) for n in (2, 3, 4)},
        **{f"duplicate_{n}_gram_characters": ratio(duplicate_ngrams(words, n), len(text)) for n in range(5, 11)},
        **fineweb(text),
        **nemo(text),
        **dolma(text),
        "lorem_ipsum": text.lower().count("lorem ipsum"),
        "curly_brackets": text.count("{"),
        "sentences": sentences(text),
    }


def measured(texts: list[str | None], names: tuple[str, ...] = NAMES) -> list[dict[str, float]]:
    columns = measure(*flatten(pa.array(texts, pa.large_string())), names)
    return [dict(zip(columns, row)) for row in zip(*(column.tolist() for column in columns.values()))]


def adversarial(seed: int, many: int) -> list[str]:
    choose = random.Random(seed)
    return [
        "".join(
            choose.choice(PIECES) + choose.choice(["", " "])
            for _ in range(choose.choice([3, 30, 200]))
        )
        for _ in range(many)
    ]  # fmt: skip


def repetitive(seed: int, many: int) -> list[str]:
    """Texts that copy their own spans, now and then gluing or cutting a word, so that n-grams repeat."""
    choose, texts = random.Random(seed), []
    for _ in range(many):
        words = [choose.choice(["of", "the", "commission", "a", "stone", "中文", "is", "x"]) for _ in range(20)]
        for _ in range(choose.randrange(12)):
            start = choose.randrange(len(words))
            words += words[start : start + choose.randrange(14)]
            words.append(choose.choice(["and", "ofthe", "th", "e"]))
        texts.append("".join(word + choose.choice([" ", " ", " ", "\n", "\n\n"]) for word in words))
    return texts


@pytest.mark.parametrize("texts", [adversarial(1, 1500), repetitive(2, 1500)], ids=["adversarial", "repetitive"])
def test_every_signal_equals_the_oracle(texts):
    found = measured(texts)
    for text, row in zip(texts, found, strict=True):
        assert {name: (row[name], text) for name, value in oracle(text).items() if row[name] != value} == {}


@given(st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join), max_size=5))
def test_every_signal_equals_the_oracle_on_any_text(texts):
    assert measured(texts) == [oracle(text) for text in texts]


def test_splitting_a_batch_changes_nothing():
    texts = adversarial(3, 60) + repetitive(3, 60)
    whole = pa.array(texts, pa.large_string())
    for cut in (0, 1, 59, 120):
        halves = (measure(*flatten(half), NAMES) for half in (whole[:cut], whole[cut:]))
        assert measured(texts) == [
            dict(zip(NAMES, row)) for half in halves for row in zip(*(half[name].tolist() for name in NAMES))
        ]


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_is_the_same_alone(name):
    texts = adversarial(4, 20) + repetitive(4, 20)
    assert [row[name] for row in measured(texts)] == [row[name] for row in measured(texts, (name,))]


@pytest.mark.parametrize("text", ["", None, " ", "\n", "\n\n", " \n \n ", "\u3000\x85", "a", ".", "\na\n"])
def test_small_texts(text):
    assert measured([text]) == [oracle(text or "")]
    assert measured(["a b", text, "a b"])[1] == oracle(text or "")


def test_no_texts():
    assert all(len(column) == 0 for column in measure(*flatten(pa.array([], pa.large_string())), NAMES).values())


def test_kinds_are_as_stated():
    columns = measure(*flatten(pa.array(["some text"])), NAMES)
    assert {name: str(column.dtype) for name, column in columns.items()} == {n: k for n, (k, _) in SIGNALS.items()}


def test_one_pair_of_words_is_not_another_of_the_same_letters():
    row = measured(["ab c x a bc y ab c"])[0]
    assert row["top_2_gram_characters"] == 8 / 18


def test_the_first_of_equally_frequent_ngrams_counts():
    assert measured(["aaaa b aaaa b c d c d"])[0]["top_2_gram_characters"] == 12 / 21
    assert measured(["c d aaaa b aaaa b c d"])[0]["top_2_gram_characters"] == 6 / 21


def test_a_word_longer_than_the_table_of_powers():
    long = "x" * 5000
    text = " ".join([long, "y", "z", "u", "v", "w"] * 3)
    assert measured([text]) == [oracle(text)]


def test_a_document_of_five_megabytes():
    one = " ".join(repetitive(5, 40))
    text = one * (5_000_000 // len(one))
    row, small = measured([text])[0], oracle(one)
    assert row["characters"] == len(text)
    assert row["words"] == len(text.split())
    assert row["mean_word_length"] == pytest.approx(small["mean_word_length"])
    assert row["duplicate_10_gram_characters"] == ratio(duplicate_ngrams(text.split(), 10), len(text))
    assert row["top_3_gram_characters"] == ratio(top_ngram(text.split(), 3), len(text))
    assert row["recurring_10_grams"] == recurring(text.split(), 10)


def test_stop_words_are_the_eight_of_the_paper():
    assert set(STOP_WORDS) == {"the", "be", "to", "of", "and", "that", "have", "with"}
    assert measured(["The beto be \0the"])[0]["stop_words"] == 1


def test_every_code_point_is_decoded():
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    text = np.frombuffer(everything.encode(), np.uint8)
    assert characters(text) == len(everything)
    for code in [*range(0x900), *range(0xD000, 0xD800), *range(0xFFF0, 0x10100), 0x10FFFF]:
        encoded = np.frombuffer(chr(code).encode(), np.uint8)
        assert decode(encoded, 0) == (code, len(encoded))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_truncated_character_is_not_read_beyond_the_text(size):
    text = np.frombuffer("😀".encode(), np.uint8)[:size]
    code, after = decode(text, 0)
    assert after == size
    assert code < len(char_classes())
    measure(np.array([0, size]), text.copy(), NAMES)
