"""Curves over steps as SVG, drawn here: the page needs its script only to read values off them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from millrace.markup import text, value
from millrace.ticks import ticks

MOST = 2000  # points of a line that are drawn; a screen has no more columns
FLAT = 1e-4  # a spread below this share of the values is drawn as none: labels of four digits would be equal
WIDTH, HEIGHT = 640, 190  # of the area of the curves, in SVG units
LEFT, RIGHT, TOP, BOTTOM = 62, 10, 8, 20


@dataclass(frozen=True)
class Line:
    """One curve: values over ascending steps; NaN is no point."""

    label: str
    steps: np.ndarray  # int64 (n,)
    values: np.ndarray  # float64 (n,)


@dataclass(frozen=True)
class Chart:
    """Curves that share their axes, at most three."""

    name: str
    title: str
    lines: tuple[Line, ...]
    levels: tuple[tuple[str, float], ...] = ()  # horizontal lines: label, value
    zero: bool = False  # the axis begins at 0
    log: bool = False


def decimate(steps: np.ndarray, values: np.ndarray, most: int = MOST) -> tuple[np.ndarray, np.ndarray]:
    """Return at most `most` points (at least 4): the ends, and the least and greatest value of each of equal bins.

    So no spike is lost, however narrow. Points without a finite value are left out.
    """
    there = np.isfinite(values)
    steps, values = steps[there], values[there]
    if len(steps) <= most:
        return steps, values
    edges = np.linspace(0, len(steps), (most - 2) // 2 + 1).astype(np.int64)
    kept = {0, len(steps) - 1}
    for begin, end in pairwise(edges.tolist()):
        part = values[begin:end]
        kept |= {begin + int(part.argmin()), begin + int(part.argmax())}
    places = np.array(sorted(kept))
    return steps[places], values[places]


@dataclass(frozen=True)
class Axes:
    """Where steps and values lie in a drawing. low, high: logarithms where `log`."""

    first: int
    last: int
    low: float
    high: float
    log: bool

    def x(self, step: Any) -> Any:
        return LEFT + WIDTH * (step - self.first) / (self.last - self.first)

    def y(self, number: Any) -> Any:
        placed = np.log10(number) if self.log else number
        return TOP + HEIGHT * (self.high - placed) / (self.high - self.low)


def axes(chart: Chart, first: int, last: int, skipped: np.ndarray) -> Axes:
    """Return axes that hold all values but those of skipped steps, which may be anything."""
    found = [line.values[np.isfinite(line.values) & ~np.isin(line.steps, skipped)] for line in chart.lines]
    numbers = np.concatenate([*found, np.array([level for _, level in chart.levels])])
    log = chart.log and bool((numbers > 0).any())
    numbers = np.log10(numbers[numbers > 0]) if log else numbers
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
    low = min(low, 0.0) if chart.zero and not log else low
    spread = high - low if high - low > FLAT * max(abs(high), abs(low)) else 0.0
    space = 0.04 * spread or (0.5 if log else 0.04 * abs(high) or 1.0)
    if first == last:
        first, last = first - 1, last + 1
    return Axes(first, last, low - (0.0 if chart.zero and low == 0 else space), high + space, log)


def draw(chart: Chart, first: int, last: int, marks: dict[str, np.ndarray]) -> tuple[str, dict[str, Any]]:
    """Return a chart's figure, and what the script needs of it. marks: kind -> steps at which it happened."""
    skipped = marks.get("skipped", np.zeros(0, np.int64))
    at = axes(chart, first, last, skipped)
    points = [decimate(line.steps, line.values) for line in chart.lines]
    drawn = [
        f'<clipPath id="clip-{chart.name}"><rect x="{LEFT}" y="0" width="{WIDTH}" height="{TOP + HEIGHT}"/></clipPath>',
        *_grid(at),
        *(_mark(kind, steps, at) for kind, steps in marks.items()),
        *(_level(label, level, at) for label, level in chart.levels),
        *(_line(number, steps, values, at, chart.name) for number, (steps, values) in enumerate(points)),
        f'<path class="cross" d="M0 {TOP}v{HEIGHT}"/>',
        *(f'<circle class="dot l{number}" r="3.5"/>' for number in range(len(points))),
    ]
    keys = "".join(f'<span><i class="l{n}"></i>{text(line.label)}</span>' for n, line in enumerate(chart.lines))
    figure = (
        f'<figure class="curve" data-chart="{text(chart.name)}"><figcaption><b>{text(chart.title)}</b>'
        f'<span class="keys">{keys if len(chart.lines) > 1 else ""}</span><output></output></figcaption>'
        f'<svg viewBox="0 0 {LEFT + WIDTH + RIGHT} {TOP + HEIGHT + BOTTOM}" tabindex="0" role="img" '
        f'aria-label="{text(_said(chart))}">{"".join(drawn)}</svg></figure>'
    )
    carried = {
        "labels": [line.label for line in chart.lines],
        "steps": [steps.tolist() for steps, _ in points],
        "values": [[float(f"{v:.6g}") for v in values] for _, values in points],
        "y": [[round(float(y), 1) for y in _within(values, at)] for _, values in points],
        "left": LEFT, "width": WIDTH, "first": at.first, "last": at.last,
    }  # fmt: skip
    return figure, carried


def _line(number: int, steps: np.ndarray, values: np.ndarray, at: Axes, name: str) -> str:
    if not len(steps):
        return ""
    places = [f"{x:.1f} {y:.1f}" for x, y in zip(at.x(steps), _within(values, at))]
    clip = f'clip-path="url(#clip-{name})"'
    if len(places) == 1:
        x, y = places[0].split()
        return f'<circle class="only l{number}" cx="{x}" cy="{y}" r="2.5" {clip}/>'
    return f'<path class="line l{number}" {clip} d="M{"L".join(places)}"/>'


def _within(values: np.ndarray, at: Axes) -> np.ndarray:
    """Return where values are drawn; what is far outside is drawn just outside, for renderers' number range."""
    low, high = (10**at.low, 10**at.high) if at.log else (at.low, at.high)
    reach = 1.0 if at.log else high - low
    return np.asarray(at.y(np.clip(values, low / 10 if at.log else low - reach, high * 10 if at.log else high + reach)))


def _grid(at: Axes) -> list[str]:
    floor = TOP + HEIGHT
    drawn = [f'<path class="axis" d="M{LEFT} {floor}h{WIDTH}"/>']
    for number in ticks(at.low, at.high, at.log):
        y = float(at.y(number))
        drawn.append(f'<path class="grid" d="M{LEFT} {y:.1f}h{WIDTH}"/>')
        drawn.append(f'<text x="{LEFT - 6}" y="{y + 3.5:.1f}" text-anchor="end">{text(value(number))}</text>')
    for step in (n for n in ticks(at.first, at.last, False, 8) if n == int(n)):
        x = at.x(step)
        drawn.append(f'<path class="axis" d="M{x:.1f} {floor}v4"/>')
        drawn.append(f'<text x="{x:.1f}" y="{floor + 16}" text-anchor="middle">{text(value(step))}</text>')
    return drawn


def _level(label: str, level: float, at: Axes) -> str:
    y = float(at.y(level))
    return (
        f'<path class="level" d="M{LEFT} {y:.1f}h{WIDTH}"/>'
        f'<text x="{LEFT + WIDTH}" y="{y - 3:.1f}" text-anchor="end">{text(label)} {text(value(level))}</text>'
    )


def _mark(kind: str, steps: np.ndarray, at: Axes) -> str:
    """Draw where events were, each column of the drawing once."""
    columns = np.unique(np.round(np.asarray(at.x(steps[(steps >= at.first) & (steps <= at.last)]), np.float64), 0))
    tall = HEIGHT if kind == "restore" else 7
    d = "".join(f"M{x:g} {TOP + HEIGHT}v-{tall}" for x in columns)
    return f'<path class="mark {kind}" d="{d}"/>' if d else ""


def _said(chart: Chart) -> str:
    """Describe a chart to who cannot see it."""
    parts = []
    for line in chart.lines:
        numbers = line.values[np.isfinite(line.values)]
        if len(numbers):
            parts.append(f"{line.label} from {value(float(numbers[0]))} to {value(float(numbers[-1]))}")
    return f"{chart.title}: {'; '.join(parts) or 'no values'}. Arrow keys read values."


def marks_of(events: list[dict[str, Any]], skipped: np.ndarray) -> dict[str, np.ndarray]:
    """Return, for each kind of mark, the steps at which it happened."""
    found = {kind: np.array([e["step"] for e in events if e["kind"] == kind], np.int64) for kind in ("restore", "save")}
    return {kind: steps for kind, steps in (found | {"skipped": skipped}).items() if len(steps)}
