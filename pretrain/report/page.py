"""The page of a training run: tiles, curves, what happened, and with which settings."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import numpy as np

from millrace.markup import bytes_, count, element, named, plural, row, seconds, share, short, text, tiled, value
from millrace.page import document
from pretrain.report.curves import Chart, Line, draw, marks_of
from pretrain.report.gather import Facts

EVENTS = 300  # shown, the last ones
VALIDATIONS = 50
ITEMS = 50  # of a list in an event


def page(facts: Facts) -> str:
    """Return the report as one HTML document; equal facts give equal bytes."""
    here = resources.files("pretrain.report")
    figures, carried = _figures(facts)
    sections = [
        ("curves", figures),
        ("validation", _validations(facts)),
        ("events", _events(facts)),
        ("configuration", _settings("configuration", "Configuration", facts.run.get("config"))),
        ("environment", _settings("environment", "Environment", facts.run.get("environment"))),
    ]
    links = "".join(f'<a href="#{name}">{name.capitalize()}</a>' for name, content in sections if content)
    head = (
        f'<header><p class="note">Report of a Millrace training run</p><h1>{named(facts.name)}</h1>'
        f'<nav aria-label="Sections">{links}</nav>{_tiles(facts)}</header>'
    )
    data = json.dumps(carried, separators=(",", ":")).replace("<", "\\u003c")
    version = str(facts.run.get("millrace", ""))
    return document(
        title=f"{facts.name} – report of a Millrace training run",
        version=version,
        style=here.joinpath("page.css").read_text("utf-8"),
        script=here.joinpath("page.js").read_text("utf-8"),
        body="\n".join(
            [
                head,
                "<main>",
                *(content for _, content in sections if content),
                f'<script type="application/json" id="curves-data">{data}</script>',
                f"</main><footer>Made by millrace {text(version)} from run.json, log.jsonl and events.jsonl.</footer>",
            ]
        ),
    )


def charts(facts: Facts) -> list[Chart]:
    """Return what is drawn, the loss first."""
    steps, validations = facts.log.steps, facts.log.validations
    at = steps["step"]

    def of(column: str, label: str, times: float = 1.0) -> Line:
        return Line(label, at, steps[column].astype(np.float64) * times)

    baselines = facts.run.get("baselines") or {}
    levels = tuple((str(name).replace("_", " "), float(nats)) for name, nats in baselines.items())
    losses = [of("loss", "training loss")]
    if len(validations["step"]):
        losses.append(Line("validation loss", validations["step"], validations["validation_loss"]))
    parts = (of("seconds", "whole"), of("data_seconds", "waiting for data"), of("save_seconds", "blocked by saves"))
    drawn = [
        Chart("loss", "Loss, nats a token", tuple(losses), levels),
        Chart("grad_norm", "Gradient norm", (of("grad_norm", "gradient norm"),), log=True),
        Chart("lr", "Learning rate", (of("lr", "learning rate"),), zero=True),
        Chart("tokens_per_second", "Tokens a second", (of("tokens_per_second", "tokens a second"),), zero=True),
        Chart("mfu", "MFU, per cent", (of("mfu", "MFU", 100),), zero=True),
        Chart("seconds", "Seconds a step", parts, zero=True),
        Chart("memory", "Peak memory, GB", (of("memory_bytes", "peak memory", 1e-9),), zero=True),
    ]
    return [chart for chart in drawn if any(np.isfinite(line.values).any() for line in chart.lines)]


def _figures(facts: Facts) -> tuple[str, dict[str, Any]]:
    steps = facts.log.steps["step"]
    every = np.concatenate([steps, facts.log.validations["step"]])
    if not len(every):
        return '<h2 id="curves">Curves</h2><p>No step was logged.</p>', {}
    marks = marks_of(facts.events, steps[facts.log.steps["skipped"]])
    made = {chart.name: draw(chart, int(every.min()), int(every.max()), marks) for chart in charts(facts)}
    first, *others = [figure for figure, _ in made.values()]
    said = {"save": "short blue marks at the foot: saves", "skipped": "short broad marks: skipped steps",
            "restore": "dotted lines: restarts"}  # fmt: skip
    note = "; ".join(said[kind] for kind in marks)
    key = element("p", f"{note[:1].upper()}{note[1:]}.", "note") if note else ""
    whole = f'<h2 id="curves">Curves</h2>{key}{first}<div class="curves">{"".join(others)}</div>'
    return whole, {name: carried for name, (_, carried) in made.items()}


def _tiles(facts: Facts) -> str:
    steps, validations = facts.log.steps, facts.log.validations
    if not len(steps["step"]):
        return ""
    planned = ((facts.run.get("config") or {}).get("training") or {}).get("steps")
    skipped = int(steps["skipped"].sum())
    whole, busy = float(steps["seconds"].sum()), steps["train_seconds"] + steps["data_seconds"]
    tiles = [
        ("Steps", count(int(steps["step"][-1])), _joined(f"of {count(planned)}" if planned else "",
                                                         f"{count(skipped)} skipped" if skipped else "")),
        ("Tokens", short(int(steps["tokens"][-1])), plural(int(steps["rows"][-1]), "row")),
        ("Training loss", _number(steps["loss"][-1]), "at the last step"),
    ]  # fmt: skip
    if len(validations["step"]):
        perplexity = _number(validations["perplexity"][-1])
        tiles.append(("Validation loss", _number(validations["validation_loss"][-1]), f"perplexity {perplexity}"))
    tiles.append(("Tokens a second", short(float(np.median(steps["tokens_per_second"]))), "median of the steps"))
    if np.isfinite(steps["mfu"]).any():
        source = (facts.run.get("peak") or {}).get("source")
        tiles.append(
            ("MFU", f"{100 * float(np.nanmedian(steps['mfu'])):.1f} %", text(f"of {source}" if source else ""))
        )
    parts = _joined(
        f"{_share(float(busy.sum()), whole)} in steps",
        f"{_share(float(steps['validation_seconds'].sum()), whole)} in validation",
    )
    tiles.append(("Time of these steps", seconds(whole), parts))
    tiles.append(("Blocked by saves", _share(float(steps["save_seconds"].sum()), whole), "of the time"))
    tiles.append(("Waiting for data", _share(float(steps["data_seconds"].sum()), whole), "of the time"))
    tiles.append(("Peak memory", bytes_(int(steps["memory_bytes"].max())), "of a process or device"))
    return tiled(tiles)


def _share(part: float, whole: float) -> str:
    return share(round(part * 1e6), round(whole * 1e6))  # counted in microseconds


def _joined(*said: str) -> str:
    return ", ".join(part for part in said if part)


def _number(number: float) -> str:
    return value(float(number)) if np.isfinite(number) else "not finite"


def _validations(facts: Facts) -> str:
    found = facts.log.validations
    total = len(found["step"])
    if not total:
        return ""
    rows = [
        row([(count(int(found["step"][n])), "n"), (_number(found["validation_loss"][n]), "n"),
             (_number(found["perplexity"][n]), "n"), (count(int(found["tokens"][n])), "n"),
             (seconds(float(found["seconds"][n])), "n")])
        for n in range(total)[-VALIDATIONS:]
    ]  # fmt: skip
    head = row([(name, "n") for name in ("After step", "Loss, nats a token", "Perplexity", "Tokens", "Time")], "th")
    earlier = f"; the last {VALIDATIONS} are shown" if total > VALIDATIONS else ""
    return (
        f'<h2 id="validation">Validation <small>{count(total)} times{earlier}</small></h2>'
        f'<div class="wide"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _events(facts: Facts) -> str:
    if not facts.events:
        return ""
    rows = []
    for event in facts.events[-EVENTS:]:
        when = datetime.fromtimestamp(event["time"], UTC).strftime("%Y-%m-%d %H:%M:%S")
        details = [_detail(name, item) for name, item in event.items() if name not in ("time", "step", "kind")]
        kind = text(event["kind"].replace("_", " "), 60)
        rows.append(row([(when, ""), (count(event["step"]), "n"), (kind, ""), ("<br>".join(details), "")]))
    head = row([("Time, UTC", ""), ("After step", "n"), ("What", ""), ("Details", "")], "th")
    total = len(facts.events)
    earlier = f"; the last {EVENTS} are shown, all are in events.jsonl" if total > EVENTS else ""
    why = ""
    if any(event["kind"] == "bad_batch" for event in facts.events):
        why = (
            '<p class="note">Documents of bad batches: <code>millrace why RUN ID</code>, with the run that made the '
            "shards, says where each comes from.</p>"
        )
    return (
        f'<h2 id="events">Events <small>{count(total)}{earlier}</small></h2>{why}<div class="wide">'
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


def _settings(name: str, title: str, given: Any) -> str:
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
