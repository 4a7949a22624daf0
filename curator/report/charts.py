"""Bars and histograms, drawn here as SVG and CSS: the page needs no script for them."""

from __future__ import annotations

import math

from curator.report.bins import Bins
from curator.report.spread import Limit
from millrace.markup import count, text, value
from millrace.ticks import ticks

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


def histogram(bins: Bins, limits: tuple[Limit, ...], label: str, name: str) -> str:
    """Draw a histogram with its limits; what lies beyond them has another colour, and a dashed line before it.

    Bars carry their numbers as titles. `name` is the drawing's own on the page, for the part that is coloured.
    """
    tallest = max(int((bins.inside + bins.beyond).max()), 1)
    width = WIDTH / len(bins.inside)
    bars, beyond = [], []
    floor = TOP + HEIGHT
    for place, number in enumerate((bins.inside + bins.beyond).tolist()):
        if number:
            x, thick, tall = SIDE + place * width, max(width - 1, 1), _tall(number, tallest)
            said = f"<title>{_said(bins, place)}: {count(number)}</title>"
            shape = f'x="{x:.1f}" y="{floor - tall:.1f}" width="{thick:.1f}" height="{tall:.1f}"'
            bars.append(f'<g>{said}<rect class="in" {shape}/></g>')
            beyond.append(f"M{x:.1f} {floor}v{-tall:.1f}h{thick:.1f}v{tall:.1f}z")
    clip = "".join(_region(bins, limit) for limit in limits)
    drawn = [
        f'<clipPath id="beyond-{text(name)}">{clip}</clipPath>' if limits else "",
        *bars,
        f'<path class="out" clip-path="url(#beyond-{text(name)})" d="{"".join(beyond)}"/>' if limits else "",
        f'<path class="axis" d="M{SIDE} {floor}H{SIDE + WIDTH}"/>',
        *_ticks(bins, floor),
        *(_limit_line(bins, limit, floor) for limit in limits),
    ]
    size = f"0 0 {WIDTH + 2 * SIDE} {floor + BOTTOM}"
    return f'<svg viewBox="{size}" role="img" aria-label="{text(label)}">{"".join(drawn)}</svg>'


def limit_x(bins: Bins, value: float, below: bool) -> float:
    """Return where the line of a limit stands in a drawing; one off the axis stands at its end."""
    if bins.each:  # the line stands between the last bar that is kept and the first that is not
        value = math.ceil(value) - 0.5 if below else math.floor(value) + 0.5
    share = bins.place(value)
    if share is None:
        share = 0.0 if value <= (10 ** bins.edges[0] if bins.log else bins.edges[0]) else 1.0
    return round(SIDE + share * WIDTH, 1)


def edge(limit: Limit) -> str:
    """Return the name under which a limit is found in the page."""
    return f"{limit.stage}-{limit.reason}"


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


def _region(bins: Bins, limit: Limit) -> str:
    """Return the part of the drawing that lies beyond a limit."""
    x = limit_x(bins, limit.value, limit.below)
    start, stop = (0.0, x) if limit.below else (x, WIDTH + 2 * SIDE)
    shape = f'x="{start}" y="0" width="{stop - start:.1f}" height="{TOP + HEIGHT}"'
    return f'<rect data-region="{text(edge(limit))}" {shape}/>'


def _limit_line(bins: Bins, limit: Limit, floor: float) -> str:
    x = limit_x(bins, limit.value, limit.below)
    arrow = -5 if limit.below else 5
    lines = f'<path class="limit" d="M0 {floor}V4"/><path class="head" d="M0 1v6l{arrow} -3z"/>'
    return f'<g data-line="{text(edge(limit))}" transform="translate({x} 0)">{lines}</g>'
