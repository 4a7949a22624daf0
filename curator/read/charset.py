"""Bytes of a web page to text, by the rules browsers follow.

WHATWG Encoding Standard (labels) and HTML Standard 13.2.3 (order of evidence). Python's codecs are
used in place of the standard's tables; where a label means a superset there, the superset is used.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))

# What the standard's decoders accept and Python's codecs of the same name do not: gbk pages hold
# gb18030 bytes, shift_jis pages NEC and IBM extensions, and so on.
SUPERSETS = {
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "iso8859-11": "cp874",
    "iso2022_jp": "iso2022_jp_ext",
}
# Labels that resiliparse 2.0 does not map. Its html5_compatible detection turns the Korean cp949 into
# utf-8, so detection is asked for its own names, and those are mapped here.
EXTRA_LABELS = {
    "x-mac-cyrillic": "mac_cyrillic",
    "x-mac-ukrainian": "mac_cyrillic",
    "mac-cyrillic": "mac_cyrillic",
    "cp949": "cp949",
    "uhc": "cp949",
    "johab": "johab",
    "ibm855": "cp855",
    "cp855": "cp855",
    "iso2022_kr": "iso2022_kr",
    "iso-2022-kr": "iso2022_kr",
}

META_BYTES = 16384  # the standard says 1024; pages with long heads declare later
XML_DECLARATION = re.compile(rb"""\s*<\?xml\b[^>]{0,200}?encoding\s*=\s*["']([a-zA-Z0-9_:.\-]+)""")
META_TAG = re.compile(rb"<meta\b[^>]{0,1000}", re.IGNORECASE)
META_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([a-zA-Z0-9_:.\-]+)""", re.IGNORECASE)
COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
MAX_REPLACED = 0.01  # share of U+FFFD above which a declared label is not believed; ours: a page with
# a stray byte has far less, one in another encoding far more


@functools.lru_cache(maxsize=1024)  # bounded: labels come from the web
def codec_of(label: str) -> str | None:
    """Return the name of the Python codec that a charset label means on the web, or None."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    label = label.strip(" \t\r\n\f\"'").lower()
    name = EXTRA_LABELS.get(label) or map_encoding_to_html5(label, fallback_utf8=False)
    return SUPERSETS.get(name, name) if name else None


def declared(data: bytes) -> str | None:
    """Return the codec that an XML declaration or a <meta> near the beginning names, or None."""
    head = data[:META_BYTES]
    opening = XML_DECLARATION.match(head)
    labels = [opening.group(1)] if opening else []
    for tag in META_TAG.finditer(COMMENT.sub(b"", head)):
        labels += META_CHARSET.findall(tag.group())
    for label in labels:
        codec = codec_of(label.decode("ascii"))
        if codec:
            # who can read the label as ASCII does not read UTF-16 (HTML Standard, 13.2.3.2)
            return "utf-8" if codec.startswith("utf-16") else codec
    return None


def detected(data: bytes) -> str | None:
    """Return the codec that the bytes look most like, or None."""
    from resiliparse.parse.encoding import detect_encoding

    head = data[:META_BYTES]
    if head.count(0) > len(head) // 10:  # Latin letters in UTF-16 without a mark: every other byte is 0
        return "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be"
    label = detect_encoding(data, html5_compatible=False)
    return codec_of(label) if label else None


def decode(data: bytes, http_charset: str | None = None) -> str:
    """Return the text of a page, without NUL characters or surrogates.

    Evidence in order: byte order mark, the HTTP header, the XML
    declaration or <meta>, the bytes. A declared encoding that
    turns more than 1 % of the page into U+FFFD gives way to the next evidence; where none fits, the
    one with the fewest replacements is kept. Never raises.
    """
    best, fewest = "", 2.0
    for codec in _candidates(data, http_charset):
        text = data.decode(codec, "replace")
        replaced = text.count("\ufffd") / max(len(text), 1)
        if replaced < fewest:
            best, fewest = text, replaced
        if replaced <= MAX_REPLACED:
            break
    best = best.removeprefix("\ufeff")
    if "\0" in best:
        best = best.replace("\0", "")
    return best


def _candidates(data: bytes, http_charset: str | None) -> Iterator[str]:
    for mark, codec in BOMS:
        if data.startswith(mark):
            yield codec
    if http_charset and (codec_named := codec_of(http_charset)):
        yield codec_named
    for evidence in (declared, detected):
        if found := evidence(data):
            yield found
    yield "utf-8"
