"""Values with their errors, drawn as a dot on a line."""

from __future__ import annotations

import math

WIDTH, HEIGHT, EDGE = 180, 18, 6


def dot(value: float, low: float, high: float, least: float, most: float, zero: bool = False) -> str:
    """Return an SVG of a value and the interval around it, on a scale from least to most; zero: with a line at 0."""
    if not all(map(math.isfinite, (value, low, high, least, most))):
        return ""
    span = (most - least) or 1.0

    def at(number: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (min(max(number, least), most) - least) / span, 1)

    middle = HEIGHT / 2
    line = (
        f'<line x1="{at(0)}" x2="{at(0)}" y1="1" y2="{HEIGHT - 1}" class="axis"/>'
        if zero and least <= 0 <= most
        else ""
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" class="dot" role="img" '
        f'aria-label="{value:.4g}, from {low:.4g} to {high:.4g}">'
        f'<line x1="{EDGE}" x2="{WIDTH - EDGE}" y1="{middle}" y2="{middle}" class="scale"/>{line}'
        f'<line x1="{at(low)}" x2="{at(high)}" y1="{middle}" y2="{middle}" class="error"/>'
        f'<circle cx="{at(value)}" cy="{middle}" r="3.5"/></svg>'
    )
