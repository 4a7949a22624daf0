"""Telephone numbers: the forms people write them in, and the lengths that countries give them."""

from __future__ import annotations

import re
from collections.abc import Iterator

# ITU-T E.164 country codes with the digits that may follow them, trunk zero not counted; those not named here
# but assigned take ANY. Lengths are of the national plans, fixed and mobile, as the ITU publishes them.
ANY = (6, 12)
NATIONAL = {
    "1": (10, 10), "7": (10, 10), "20": (8, 10), "27": (9, 9), "30": (10, 10), "31": (9, 9), "32": (8, 9),
    "33": (9, 9), "34": (9, 9), "36": (8, 9), "39": (6, 11), "40": (9, 9), "41": (9, 9), "43": (6, 12),
    "44": (9, 10), "45": (8, 8), "46": (7, 9), "47": (8, 8), "48": (9, 9), "49": (6, 11), "51": (8, 9),
    "52": (10, 10), "54": (10, 11), "55": (10, 11), "56": (8, 9), "57": (8, 10), "58": (10, 10), "60": (8, 10),
    "61": (9, 9), "62": (8, 12), "63": (8, 10), "64": (8, 10), "65": (8, 8), "66": (8, 9), "81": (9, 10),
    "82": (8, 10), "84": (9, 10), "86": (10, 11), "90": (10, 10), "91": (10, 10), "92": (9, 10), "93": (9, 9),
    "94": (9, 9), "95": (7, 10), "98": (10, 10), "234": (8, 10), "254": (9, 9), "351": (9, 9), "353": (7, 9),
    "358": (6, 11), "380": (9, 9), "420": (9, 9), "421": (9, 9), "852": (8, 8), "886": (8, 9), "966": (8, 9),
    "971": (8, 9), "972": (8, 9),
}  # fmt: skip
ASSIGNED = set(NATIONAL) | set(
    "53 211 212 213 216 218 220 221 222 223 224 225 226 227 228 229 230 231 232 233 235 236 237 238 239 240 241 242 "
    "243 244 245 248 249 250 251 252 253 255 256 257 258 260 261 262 263 264 265 266 267 268 269 290 291 297 298 299 "
    "350 352 354 355 356 357 359 370 371 372 373 374 375 376 377 378 381 382 383 385 386 387 389 423 500 501 502 503 "
    "504 505 506 507 508 509 590 591 592 593 594 595 596 597 598 599 670 672 673 674 675 676 677 678 679 680 681 682 "
    "683 685 686 687 688 689 690 691 692 800 850 853 855 856 880 960 961 962 963 964 965 967 968 970 973 974 975 976 "
    "977 992 993 994 995 996 998".split()
)

# Between two groups of digits. Nothing here is longer than three bytes, so every pattern below has a longest match.
GAP = rb"(?:[ .\-/]|\xc2\xa0|\xe2\x80[\x90-\x93]| ?\(|\)[ \-/]?| - )"
# Each pattern begins with a class of bytes, which `re` skips to, and looks behind from after it.
BEFORE = rb"(?<![0-9A-Za-z_+@#$\x25&=](?s:.))(?<![0-9][./:\-](?s:.))"
AFTER = rb"(?![0-9A-Za-z_@\x25])(?![.:/\-][0-9])"
SEPARATED = rb"(?:" + GAP + rb"?[0-9]){%d,%d}"
# A word for telephone right before the number. No digit or angle bracket lies between, so that what stands
# in another entity's place gives no context.
WORDS = re.compile(
    rb"(?i:\b(?:tel|telephone|telefon|telefono|telefone|tel\xc3\xa9fono|t\xc3\xa9l|t\xc3\xa9l\xc3\xa9phone|phone|"
    rb"fone|ph|fax|mobile|mobil|mob|cell|cellphone|handy|whatsapp|hotline|call|dial|sms|m\xc3\xb3vil|celular)\b|"
    rb"\xe7\x94\xb5\xe8\xaf\x9d|\xe6\x89\x8b\xe6\x9c\xba|\xe9\x9b\xbb\xe8\xa9\xb1|"  # Chinese, Japanese
    rb"\xd1\x82\xd0\xb5\xd0\xbb(?:\xd0\xb5\xd1\x84\xd0\xbe\xd0\xbd)?|\xd0\xa2\xd0\xb5\xd0\xbb)"  # Russian
    rb"[ .:#()=\xef\xbc\x9a-]{0,4}(?:(?i:number|nr|no|us|at|me|on|is)\b[ .:#]{0,3}){0,2}$"
)
WORDS_REACH = 48  # bytes: more than the longest of these
EXTENSION = rb"(?: ?(?:x|ext\.?|extension) ?[0-9]{1,5}(?![0-9A-Za-z_]))?"

INTERNATIONAL = re.compile(
    rb"[+(0]" + BEFORE + rb"(?<![0-9)] (?s:.))(?:(?<=\+) ?\(?|(?<=\()\+ ?|(?<=0)0[ \-/]?)[1-9]" + SEPARATED % (6, 15)
)  # fmt: skip
NORTH_AMERICAN = re.compile(  # (212) 555-1234, 212-555-1234, 1.212.555.1234
    rb"[1(2-9]" + BEFORE + rb"(?:(?<=1)[ .\-]?\(?[2-9]|(?<=\()[2-9]|(?<=[2-9]))[0-9]{2}(?:\) ?-? ?|(?P<gap>[ .\-]))"
    rb"(?P<exchange>[2-9][0-9]{2})(?(gap)(?P=gap)|[ .\-])(?P<line>[0-9]{4})" + EXTENSION + AFTER
)  # fmt: skip
BRACKETED = re.compile(  # (020) 7946 0958, (11) 91234-5678, 8 (495) 123-45-67
    rb"[78(]" + BEFORE + rb"(?:(?<=[78]) ?\(|(?<=\())[0-9]{2,5}\)(?:[ \-/]?[0-9]{2,8}){1,4}" + AFTER
)
TRUNK = re.compile(  # 020 7946 0958, 06.12.34.56.78, 090-1234-5678, 0171/1234567, 8-495-123-45-67
    rb"[08]" + BEFORE + rb"(?<![0-9A-Fa-f][0-9] 0)(?<![0-9][A-Fa-f] 0)(?<![0-9]{4} 0)"
    rb"(?:(?<=0)[1-9][0-9]{0,4}(?: / |[ .\-/])[0-9]{2,8}(?:[ .\-][0-9]{2,4}){0,3}"
    rb"|(?<=8)(?:-[0-9]{3}){2}(?:-[0-9]{2}){2})" + AFTER + rb"(?! [0-9A-Fa-f]{2}\b)"  # bytes of a hex dump go on
)  # fmt: skip
NUMBER = re.compile(  # that a word may name, so nothing of a number is right before it
    rb"[+(0-9](?<![0-9A-Za-z_+(](?s:.))(?<![0-9][ ./:\-](?s:.))[+(]?[0-9]?" + SEPARATED % (6, 14) + EXTENSION + AFTER
)
DATE = re.compile(
    rb"0?[1-9][./\- ](?:0?[1-9]|1[0-2])[./\- ](?:19|20)[0-9]{2}|[0-3]?[0-9][./-][01]?[0-9][./-][0-9]{4}"
    rb"|(?:19|20)[0-9]{2}[./-][01]?[0-9][./-][0-3]?[0-9]"
)
NORTH_LIKE = re.compile(rb"\([2-9][0-9]{2}\)[ \-]{0,2}[0-9]{3}[ .\-][0-9]{4}$")  # which has a rule of its own
ENDS = re.compile(AFTER)
ROW = re.compile(rb"[0-9][ \t]\||\|[ \t][0-9]")  # of numbers, where | stands for the one that is looked at
GROUP = re.compile(rb"[0-9]+")
NOT_DIGITS = re.compile(rb"[^0-9]+")


def find(line: bytes) -> Iterator[tuple[int, int]]:
    """Yield the spans of telephone numbers, forms in turn; they may overlap.

    A number shows by one of: an international prefix (+ or 00) and a country code of the right length; the
    North American form with its gaps (area and exchange begin with 2 to 9, no exchange is x11, and 555-01xx is
    for fiction); an area code in brackets; a leading zero, gaps and a usual length; a word such as Tel. or fax right
    before it.
    """
    for start, stop in _forms(line):
        outside = line[start : start + 1] == b"(" and line.count(b")", start, stop) < line.count(b"(", start, stop)
        yield start + outside, stop  # the bracket is around the number, not in it


def _forms(line: bytes) -> Iterator[tuple[int, int]]:
    for match in INTERNATIONAL.finditer(line):
        if stop := _international(match):
            yield match.start(), stop
    for match in NORTH_AMERICAN.finditer(line):
        fiction = match["exchange"] == b"555" and match["line"].startswith(b"01")
        around = line[max(0, match.start() - 2) : match.start()] + b"|" + line[match.end() : match.end() + 2]
        tabular = match["gap"] == b" " and ROW.search(around)
        if match["exchange"][1:] != b"11" and not fiction and not tabular:
            yield match.span()
    for match in BRACKETED.finditer(line):
        if 9 <= len(_digits(match[0])) <= 12 and not NORTH_LIKE.match(match[0]):
            yield match.span()
    for match in TRUNK.finditer(line):
        if _has_trunk(match[0]):
            yield match.span()
    for match in NUMBER.finditer(line):
        start = match.start()
        named = WORDS.search(line, max(0, start - WORDS_REACH), start)
        if named and not DATE.match(match[0]) and not _fiction(_digits(match[0])):
            yield match.span()


def _digits(number: bytes) -> str:
    return NOT_DIGITS.sub(b"", number).decode()


def _has_trunk(number: bytes) -> bool:
    """Tell whether digits in groups, the first with a leading zero, are as many as national numbers have."""
    first, *others = GROUP.findall(number)
    digits, gaps = len(_digits(number)), NOT_DIGITS.findall(number)
    dotted = b"." in gaps and (len(gaps) < 2 or set(gaps[1:]) != {b"."} or gaps[0] not in (b".", b"/"))
    if DATE.match(number) or dotted:
        return False
    if len(others) == 1:  # only the longer numbers are known by their form
        return len(first) in (3, 4, 5) and digits in (10, 11, 12)
    return digits in (10, 11) or (digits == 9 and len(first) == 2)  # nine have areas of two: 08-732 56 80


def _fiction(digits: str) -> bool:
    return re.search(r"55501[0-9]{2}$", digits) is not None


def _international(match: re.Match[bytes]) -> int:
    """Return where a number that begins like an international one stops, at the end of a group; 0: it is none."""
    number, start = match[0], match.start()
    prefix = 0 if b"+" in number[:3] else 2
    digits = _digits(number)[prefix:]
    code = next((digits[:n] for n in (1, 2, 3) if digits[:n] in ASSIGNED), None)
    if code is None or _fiction(digits):
        return 0
    low, high = NATIONAL.get(code, ANY)
    skipped = prefix + len(code) + number.count(b"(0)")
    count = stop = 0
    for groups, group in enumerate(GROUP.finditer(number), 1):
        count += len(group[0])
        if low <= count - skipped <= high and ENDS.match(match.string, start + group.end()):
            stop, last = start + group.end(), groups
    if not stop or (prefix and last == 1):
        return 0  # 0049...: any number with leading zeros
    coordinate = last == 2 and b"." in number[: len(code) + 2] and len(digits) - len(code) < 9  # +40.712776
    return 0 if coordinate else stop
