"""What a text is to a list of words."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest

from serve.rails.folding import IGNORABLE, LOOK_ALIKES, UNSPACED, tokens


def folded(text):
    return [token for token, _, _ in tokens(text)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Don't, C++!", ["don", "'", "t", ",", "c", "+", "+", "!"]),
        ("ＢＡＤ ⓑⓐⓓ 𝐛𝐚𝐝 ﬁne ℌello", ["bad", "bad", "bad", "fine", "hello"]),
        ("b\u200ba\u00add b\u2060\ufeffad \U000e0041bad", ["bad", "bad", "bad"]),
        ("Straße ΣΊΣΥΦΟΣ İ", ["strasse", "σίσυφοσ", "i̇"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("раypal Сat mοney", ["paypal", "cat", "money"]),  # Cyrillic р, а, С; Greek ο
        ("мама сало", ["мама", "сало"]),
        ("这是坏话ok", ["这", "是", "坏", "话", "ok"]), ("ﾊﾞｶ バカ", ["バ", "カ", "バ", "カ"]),
        ("กาแฟ", ["ก", "า", "แ", "ฟ"]), ("\u200b \u200d", []), ("", []), ("㏂", ["a", ".", "m", "."]),
    ],
)  # fmt: skip
def test_tokens_of(text, said):
    assert folded(text) == said


def test_a_token_stands_where_its_text_is():
    text = "So, ＢＡ\u200bＤ\u0301 x 坏 ㏂."
    for token, start, stop in tokens(text):
        assert token in unicodedata.normalize("NFKC", text[start:stop].replace("\u200b", "")).casefold()
    assert "".join(text[a:b] for _, a, b in dict.fromkeys((None, a, b) for _, a, b in tokens(text))) == "".join(
        text.split()
    )


def test_folding_is_once_and_for_all():
    """What is folded folds to itself: an entry that is a text's token is found in it."""
    for code in [
        *range(0x20, 0x3400),
        *range(0xA490, 0xD800, 17),
        *range(0xF900, 0x10000),
        *range(0x10000, 0x20000, 17),
    ]:
        for text in (chr(code), "a" + chr(code)):
            once = folded(text)
            assert [piece for token in once for piece in folded(token)] == once, hex(code)


def test_invisible_characters_are_those_of_unicode():
    """All of category Cf that show nothing; those of Arabic, Syriac, Kaithi and interlinear signs show."""
    shown = {0x600, 0x601, 0x602, 0x603, 0x604, 0x605, 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD,
             0xFFF9, 0xFFFA, 0xFFFB, *range(0x13430, 0x13440)}  # fmt: skip
    pattern = re.compile(f"[{IGNORABLE}]")
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) == "Cf" and code not in shown:
            assert pattern.fullmatch(chr(code)), hex(code)
        elif unicodedata.category(chr(code))[0] in "NPSZ" or chr(code).isascii():
            assert not pattern.fullmatch(chr(code)), hex(code)


def test_characters_of_unspaced_scripts_are_letters_and_look_alikes_are_lower_case():
    for code in range(0x20000):
        if re.fullmatch(f"[{UNSPACED}]", chr(code)):
            assert unicodedata.category(chr(code)) in ("Lo", "Lm", "Nl", "Cn", "So"), hex(code)
    for code, latin in LOOK_ALIKES.items():
        assert chr(code) == chr(code).casefold() or chr(code) == "ϲ"
        assert "a" <= chr(latin) <= "z"
