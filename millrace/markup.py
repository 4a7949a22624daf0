"""Text as HTML: escaped, shortened, and numbers as people read them."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable

SHOWN = 200  # characters of an id, a URL or a setting
CONTROLS = {c: 0x2400 + c for c in range(32) if c not in (9, 10)} | {13: 10, 127: 0x2421}  # NUL is shown as ␀
UNSEEN = re.compile("[\x80-\x9f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")


def text(given: object, most: int | None = None) -> str:
    """Escape anything for element or attribute; show control characters; cut after `most` characters."""
    said = str(given)
    if most is not None and len(said) > most:
        said = said[:most] + " …"
    return html.escape(UNSEEN.sub("\ufffd", said.translate(CONTROLS)), quote=True)


def named(given: object) -> str:
    """Escape an id, URL or name, cut at SHOWN, with its writing direction kept to itself."""
    return f"<bdi>{text(given, SHOWN)}</bdi>"


def count(number: int) -> str:
    """Write 1234567 as 1,234,567."""
    return f"{number:,}"


def short(number: float) -> str:
    """Write 15447901 as 15.4 M."""
    for power, unit in ((12, "T"), (9, "G"), (6, "M")):
        if abs(number) >= 10**power:
            return f"{number / 10**power:.3g} {unit}"
    return f"{number:,.0f}"


def bytes_(number: int) -> str:
    """Write 72958093 as 73 MB."""
    said = short(number)
    return f"{said}B" if said[-1].isalpha() else f"{number / 1000:.3g} kB" if number >= 1000 else f"{number} B"


def share(part: int, whole: int) -> str:
    """Write a share in per cent: never 100 % of what is less, never 0 % of what is more."""
    if not whole:
        return "–"
    per_cent = 100 * part / whole
    if 0 < per_cent < 0.01:
        return "< 0.01 %"
    digits = 2 if per_cent < 1 or 99 < per_cent < 100 else 1
    floor = math.floor(per_cent * 10**digits) / 10**digits if 99 < per_cent < 100 else per_cent
    return f"{floor:.{digits}f} %".replace("100.0 %", "100 %").replace("0.00 %", "0 %")


def value(number: float) -> str:
    """Write a measured value: whole numbers whole, others to four digits."""
    if number == int(number) and abs(number) < 1e15:
        return f"{int(number):,}"
    return f"{number:.4g}"


def seconds(number: float) -> str:
    """Write 3725.2 as 1 h 2 min, 28.07 as 28.1 s."""
    if number < 100:
        return f"{number:.1f} s"
    minutes = round(number / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def plural(number: int, noun: str) -> str:
    """Write `1 document`, `2 documents`."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def element(tag: str, content: str, kind: str = "") -> str:
    """Put markup in an element, with a class where one is given."""
    return f"<{tag}{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{content}</{tag}>"


def row(cells: Iterable[tuple[str, str]], tag: str = "td") -> str:
    """Return a table row of (markup, class) cells."""
    return "<tr>" + "".join(element(tag, content, kind) for content, kind in cells) + "</tr>"


def tiled(tiles: list[tuple[str, str, str]]) -> str:
    """Return (name, number, remark) triples of markup as a row of tiles."""
    cells = (
        f"<div><dt>{name}</dt><dd>{number}{element('small', remark) if remark else ''}</dd></div>"
        for name, number, remark in tiles
    )
    return element("dl", "".join(cells), "tiles")
