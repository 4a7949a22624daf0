"""What the pages of training runs are made of, whatever was trained: curves, events, settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import numpy as np

from millrace.markup import count, element, named, row, share, text, value
from millrace.page import document
from pretrain.report.curves import Chart, draw

EVENTS = 300  # shown, the last ones
ITEMS = 50  # of a list in an event


def whole(
    what: str, name: str, version: str, tiles: str, sections: Sequence[tuple[str, str]], carried: dict[str, Any],
    made_from: str, style: str = "", script: str = "",
) -> str:  # fmt: skip
    """Return a page of sections (name, markup), of which empty ones are left out; style and script come after its own.

    what: the kind of run, in words; carried: what the script needs of the curves, from `curves`.
    """
    here = resources.files("pretrain.report")
    links = "".join(f'<a href="#{name}">{name.capitalize()}</a>' for name, content in sections if content)
    head = (
        f'<header><p class="note">Report of a Millrace {text(what)}</p><h1>{named(name)}</h1>'
        f'<nav aria-label="Sections">{links}</nav>{tiles}</header>'
    )
    data = json.dumps(carried, separators=(",", ":")).replace("<", "\\u003c")
    return document(
        title=f"{name} – report of a Millrace {what}",
        version=version,
        style=here.joinpath("page.css").read_text("utf-8") + style,
        script=here.joinpath("page.js").read_text("utf-8") + script,
        body="\n".join(
            [
                head,
                "<main>",
                *(content for _, content in sections if content),
                f'<script type="application/json" id="curves-data">{data}</script>',
                f"</main><footer>Made by millrace {text(version)} from {text(made_from)}.</footer>",
            ]
        ),
    )


def curves(charts: Sequence[Chart], steps: np.ndarray, marks: dict[str, np.ndarray]) -> tuple[str, dict[str, Any]]:
    """Return the section of curves, the first one large, and what the script needs of them.

    steps: all that have a line in the log; marks: kind -> steps at which it happened.
    """
    if not len(steps) or not charts:
        return '<h2 id="curves">Curves</h2><p>No step was logged.</p>', {}
    made = {chart.name: draw(chart, int(steps.min()), int(steps.max()), marks) for chart in charts}
    first, *others = [figure for figure, _ in made.values()]
    said = {"save": "short blue marks at the foot: saves", "skipped": "short broad marks: skipped steps",
            "restore": "dotted lines: restarts"}  # fmt: skip
    note = "; ".join(said[kind] for kind in marks)
    key = element("p", f"{note[:1].upper()}{note[1:]}.", "note") if note else ""
    markup = f'<h2 id="curves">Curves</h2>{key}{first}<div class="curves">{"".join(others)}</div>'
    return markup, {name: carried for name, (_, carried) in made.items()}


def share_of(part: float, whole: float) -> str:
    """Write a share of seconds in per cent."""
    return share(round(part * 1e6), round(whole * 1e6))  # counted in microseconds


def joined(*said: str) -> str:
    """Join what is not empty by commas."""
    return ", ".join(part for part in said if part)


def number(given: float) -> str:
    """Write a value of a curve."""
    return value(float(given)) if np.isfinite(given) else "not finite"


def happened(events: Sequence[dict[str, Any]], note: str = "") -> str:
    """Return the section of events, under a note of markup; empty where there were none."""
    if not events:
        return ""
    rows = []
    for event in events[-EVENTS:]:
        when = datetime.fromtimestamp(event["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        details = [_detail(name, item) for name, item in event.items() if name not in ("time", "step", "kind")]
        kind = text(event["kind"].replace("_", " "), 60)
        rows.append(row([(when, ""), (count(event["step"]), "n"), (kind, ""), ("<br>".join(details), "")]))
    head = row([("Time, UTC", ""), ("After step", "n"), ("What", ""), ("Details", "")], "th")
    total = len(events)
    earlier = f"; the last {EVENTS} are shown, all are in events.jsonl" if total > EVENTS else ""
    return (
        f'<h2 id="events">Events <small>{count(total)}{earlier}</small></h2>{note}<div class="wide">'
        f'<table class="happened"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _detail(name: str, item: Any) -> str:
    items = item if isinstance(item, list) else [item]
    said = " ".join(f"<code>{text(_plain(one), 200)}</code>" for one in items[:ITEMS])
    more = f" and {count(len(items) - ITEMS)} more" if len(items) > ITEMS else ""
    return f"{text(name.replace('_', ' '), 60)} {said}{more}"


def _plain(item: Any) -> str:
    """Return a detail as one reads it: the values of a mapping, no more digits than matter."""
    if isinstance(item, dict):
        return " ".join(f"{name} {_plain(one)}" for name, one in item.items())
    return f"{item:.4g}" if isinstance(item, float) else "not finite" if item is None else str(item)


def settings(name: str, title: str, given: Any) -> str:
    """Return a mapping as a table of dotted names."""
    if not isinstance(given, dict) or not given:
        return ""
    rows = "".join(row([(text(key, 100), ""), (f"<code>{text(item, 300)}</code>", "")]) for key, item in _flat(given))
    return f'<h2 id="{name}">{title}</h2><table class="settings"><tbody>{rows}</tbody></table>'


def _flat(given: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, item in given.items():
        found += _flat(item, f"{before}{name}.") if isinstance(item, dict) and item else [(f"{before}{name}", item)]
    return found
