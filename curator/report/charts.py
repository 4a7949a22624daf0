"""Bars and histograms, drawn here as SVG and CSS: the page needs no script for them."""

from __future__ import annotations

import math

from curator.report.bins import Bins, ticks
from curator.report.markup import count, text, value
from curator.report.spread import Limit

WIDTH, HEIGHT = 300, 92  # of the bars, in SVG units
TOP, BOTTOM, SIDE = 12, 18, 8


def bar(part: float, whole: float, kind: str, before: float = 0.0) -> str:
    """Return a horizontal bar for a share of a whole, `before` of which is drawn as lost in front of it."""
    if whole <= 0:
        return '<span class="bar"></span>'
    width, lost = 100 * part / whole, 100 * before / whole
    shown = f'<i class="{kind}" style="width:{width:.2f}%"></i>'
    gone = f'<i class="gone" style="width:{lost:.2f}%"></i>' if before else ""
    return f'<span class="bar">{shown}{gone}</span>'


def histogram(bins: Bins, limits: tuple[Limit, ...], label: str) -> str:
    """Draw a histogram with its limits; what lies beyond them has another colour, and a dashed line before it.

    Bars carry their numbers as titles.
    """
    tallest = max(int((bins.inside + bins.beyond).max()), 1)
    width = WIDTH / len(bins.inside)
    parts = []
    for place, (inside, beyond) in enumerate(zip(bins.inside.tolist(), bins.beyond.tolist(), strict=True)):
        if not inside and not beyond:
            continue
        low, high = _tall(inside, tallest), _tall(beyond, tallest)
        x, thick = SIDE + place * width, max(width - 1, 1)
        parts.append(f"<g><title>{_said(bins, place)}: {count(inside + beyond)}</title>")
        for kind, tall, under in (("in", low, 0.0), ("out", high, low)):
            if tall:
                y = TOP + HEIGHT - under - tall
                parts.append(f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{thick:.1f}" height="{tall:.1f}"/>')
        parts.append("</g>")
    floor = TOP + HEIGHT
    parts.append(f'<path class="axis" d="M{SIDE} {floor}H{SIDE + WIDTH}"/>')
    parts += _ticks(bins, floor)
    parts += _limit_lines(bins, limits, floor)
    size = f"0 0 {WIDTH + 2 * SIDE} {floor + BOTTOM}"
    return f'<svg viewBox="{size}" role="img" aria-label="{text(label)}">{"".join(parts)}</svg>'


def _tall(number: int, tallest: int) -> float:
    return max(HEIGHT * number / tallest, 1.5) if number else 0.0


def _said(bins: Bins, place: int) -> str:
    """Say which values a bar stands for."""
    low, high = float(bins.edges[place]), float(bins.edges[place + 1])
    if bins.each:
        return value(round(low + 0.5))
    if bins.log:
        low, high = math.ceil(10**low - 1e-9), math.ceil(10**high - 1e-9) - 1
        if high < low:
            high = low
    if place == 0 and bins.under:
        return f"up to {value(high)}"
    if place == len(bins.inside) - 1 and bins.over:
        return f"{value(low)} and more"
    return f"{value(low)} to {value(high)}"


def _ticks(bins: Bins, floor: float) -> list[str]:
    drawn = []
    for at in ticks(float(bins.edges[0]), float(bins.edges[-1]), bins.log):
        share = bins.place(at)
        if share is None or (bins.each and at != int(at)):
            continue
        x = SIDE + share * WIDTH
        anchor = "start" if share < 0.04 else "end" if share > 0.96 else "middle"
        drawn.append(f'<path class="axis" d="M{x:.1f} {floor}v3"/>')
        drawn.append(f'<text x="{x:.1f}" y="{floor + 14}" text-anchor="{anchor}">{text(value(at))}</text>')
    return drawn


def _limit_lines(bins: Bins, limits: tuple[Limit, ...], floor: float) -> list[str]:
    drawn = []
    for limit in limits:
        at = limit.value
        if bins.each:  # the line stands between the last bar that is kept and the first that is not
            at = math.ceil(at) - 0.5 if limit.below else math.floor(at) + 0.5
        share = bins.place(at)
        if share is None:
            continue
        x = SIDE + share * WIDTH
        arrow = -5 if limit.below else 5
        drawn.append(f'<path class="limit" d="M{x:.1f} {floor}V4"/>')
        drawn.append(f'<path class="head" d="M{x:.1f} 1v6l{arrow} -3z"/>')
    return drawn
