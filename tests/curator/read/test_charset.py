"""Bytes to text, against Python's own codecs on real pages in 40 encodings."""

import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.read import charset


@pytest.mark.parametrize(
    ("label", "codec"),
    [  # WHATWG Encoding Standard, section 4.2
        ("ISO-8859-1", "cp1252"),
        ("us-ascii", "cp1252"),
        ("latin5", "cp1254"),
        ("tis-620", "cp874"),
        ("gb2312", "gb18030"),
        ("shift-jis", "cp932"),
        ("ks_c_5601-1987", "cp949"),
        ("x-mac-cyrillic", "mac_cyrillic"),
        (' "UTF-8" ', "utf-8"),
        ("no-such-charset", None),
    ],
)
def test_labels_mean_what_they_mean_on_the_web(label: str, codec: str | None) -> None:
    assert charset.codec_of(label) == codec


def test_a_byte_order_mark_beats_the_header_and_the_header_beats_meta() -> None:
    page = '<meta charset="koi8-r"><p>дом'
    assert charset.decode(page.encode("utf-8-sig"), "windows-1251") == page
    assert charset.decode(page.encode("cp1251"), "windows-1251") == page
    assert charset.decode(page.encode("koi8-r")) == page
    assert charset.decode(page.encode("utf-16"), "windows-1251") == page


def test_a_declared_charset_that_spoils_the_page_is_not_believed() -> None:
    page = "<p>Съешь же ещё этих мягких французских булок, да выпей чаю. " * 20
    assert charset.decode(page.encode("cp1251"), "utf-8") == page
    assert charset.decode(page.encode("cp1251") + b"<meta charset=utf-8>") == page + "<meta charset=utf-8>"


def test_a_meta_in_a_comment_declares_nothing() -> None:
    assert charset.declared(b"<!-- <meta charset=big5> --><meta charset='koi8-r'>") == "koi8-r"


def test_one_stray_byte_becomes_one_replacement_character() -> None:
    assert charset.decode(("é" * 200).encode() + b"\xff", "utf-8") == "é" * 200 + "\ufffd"


@given(st.binary(max_size=400), st.sampled_from([None, "utf-8", "utf-16be", "gbk", "shift_jis", "big5", "?"]))
def test_any_bytes_become_text_without_nul_or_surrogates(data: bytes, label: str | None) -> None:
    text = charset.decode(data, label)
    assert "\0" not in text
    text.encode()


def _pages(shared: Path) -> list[tuple[str, bytes, str]]:
    """Real pages: path, bytes, and the text by the right codec."""
    languages = "croatian hungarian slovak slovene bulgarian russian arabic greek turkish czech romanian hebrew"
    pages = []
    with tarfile.open(shared / "data/charset/chardet_pages.tar.gz") as archive:
        for member in archive:
            if file := archive.extractfile(member):
                codec = member.name.split("/")[-2].replace("MacCyrillic", "mac_cyrillic")
                for language in languages.split():
                    codec = codec.removesuffix(f"-{language}")
                data = file.read()
                right = data.decode(codec, "replace").removeprefix("\ufeff").replace("\0", "")
                pages.append((member.name, data, right))
    return pages


def _same(text: str, right: str) -> bool:
    """Equal, but for the few characters on which the web's codecs and Python's differ (U+301C)."""
    different = sum(a != b for a, b in zip(text, right)) + abs(len(text) - len(right))
    return different <= 0.003 * len(right)


@pytest.mark.realdata
def test_real_pages_in_40_encodings_are_decoded_right(shared: Path) -> None:
    pages = _pages(shared)
    wrong = [name for name, data, right in pages if not _same(charset.decode(data), right)]
    assert len(pages) == 217
    assert len(wrong) <= 6, wrong  # UTF-32 (twice), Johab, and three that are too short or too alike


@pytest.mark.realdata
def test_detection_alone_is_right_on_nearly_all_real_pages(shared: Path) -> None:
    pages = [page for page in _pages(shared) if "UTF-" not in page[0] and "utf-" not in page[0]]
    right = sum(_same(data.decode(charset.detected(data) or "utf-8", "replace"), t) for _, data, t in pages)
    assert right / len(pages) >= 0.97
