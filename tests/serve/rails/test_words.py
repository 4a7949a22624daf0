"""A list of words against a text."""

from __future__ import annotations

import random
import re
import time

import pytest

from serve.errors import ServeSettingsError
from serve.rails.words import Words


def redacted(text, *words):
    return Words(words=words, replacement="_").check(text, "input", ()).text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A bad, BAD day", "A _, _ day"), ("badly unbad bad_", "badly unbad bad_"), ("b\u200bａd!", "_!"), ("bad", "_"),
        ("", ""), ("  ", "  "), ("bad\u0301", "bad\u0301"),
    ],
)  # fmt: skip
def test_words_are_whole(text, said):
    assert redacted(text, "bad") == said


def test_phrases_and_the_longest_of_those_that_overlap():
    assert redacted("the red hot  chili\npepper, red", "red hot", "Red Hot Chili Pepper", "chili") == "the _, red"
    assert redacted("red hot chili peppers", "red hot", "red hot chili pepper", "chili") == "_ _ peppers"
    assert redacted("a b a b c", "a b a b d", "b a") == "a _ b c"


def test_punctuation_of_an_entry_must_be_there():
    assert redacted("c, c++ and C ++; c+", "c++") == "c, _ and _; c+"
    assert redacted("f*ck f ck", "f*ck") == "_ f ck"


def test_entries_of_unspaced_scripts_are_found_anywhere():
    assert redacted("这是坏话吗", "坏话") == "这是_吗"
    assert redacted("ﾊﾞｶだ", "バカ") == "_だ"


def test_the_verdict_counts_and_its_reason_holds_no_word():
    verdict = Words(words=("secret", "plan")).check("Secret plan of secrets", "output", ())
    assert (verdict.allowed, verdict.found, verdict.text) == (False, 2, "[removed] [removed] of secrets")
    assert "secret" not in verdict.reason.lower()
    assert Words(words=("x",)).check("y", "input", ()).allowed


def test_against_a_search_for_each_entry():
    """In ASCII: an entry of the list stands between characters that are no \\w, its tokens parted by white space."""
    draw = random.Random(0)
    for _ in range(300):
        entries = {" ".join(draw.choices("ab", k=draw.randint(1, 3))) for _ in range(3)}
        text = "".join(draw.choices("aab ,\n", k=30))
        ways = sorted(entries, key=len, reverse=True)
        pattern = "|".join(rf"(?<!\w){entry.replace(' ', chr(92) + 's+')}(?!\w)" for entry in ways)
        assert redacted(text, *entries) == re.sub(pattern, "_", text), (text, entries)


def test_files_are_read_whatever_their_line_ends(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeffBad\r\n\n  worse thing \r\n".encode())
    assert Words(files=(str(path),)).check("a worse  thing, bad", "input", ()).found == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"fine\n\xff\xfe\n", r":2 is no UTF-8"), (b"\n \n", "has no entries"), ("ok\n\u200b\n".encode(), r":2: .*has 0"),
     (b"a " * 33, r":1: an entry has 1 to 32 words; this one has 33")],
)  # fmt: skip
def test_a_bad_list_is_named_with_its_line(tmp_path, content, said):
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(ServeSettingsError, match=f"list.txt.*{said}|{said}"):
        Words(files=(str(path),)).prepare()


def test_a_list_that_is_not_there():
    with pytest.raises(ServeSettingsError, match=r"cannot read /nowhere/list\.txt"):
        Words(files=("/nowhere/list.txt",)).prepare()
    with pytest.raises(ServeSettingsError, match="nothing to find"):
        Words()


def test_time_does_not_grow_with_the_list_nor_faster_than_the_text(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("\n".join(f"word{n} of{n % 100}" for n in range(50_000)))
    many, one = Words(files=(str(path),)), Words(words=("word1 of1",))
    many.prepare()
    text = "word1 of2 " * 5_000
    assert seconds(many, text) < 5 * seconds(one, text) + 0.1  # measured: 1.1 times
    hard = Words(words=(" ".join(["a"] * 31 + ["b"]),))
    assert seconds(hard, "a " * 20_000) < 2  # measured: 0.1


def seconds(rail, text):
    """Return the CPU seconds of a check, the least of three; this thread's, as other tests leave servers behind."""
    took = []
    for _ in range(3):
        began = time.thread_time()
        rail.check(text, "input", ())
        took.append(time.thread_time() - began)
    return min(took)
