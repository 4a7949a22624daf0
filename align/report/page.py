"""The page of an alignment run: tiles, curves, completions side by side, what happened, and with which settings."""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np

from align.report import samples
from align.report.charts import charts, early_and_late, last
from align.report.gather import Facts
from millrace.markup import bytes_, count, row, seconds, short, text, tiled, value
from pretrain.report.curves import marks_of
from pretrain.report.parts import curves, happened, joined, number, settings, whole

VALIDATIONS = 50


def page(facts: Facts) -> str:
    """Return the report as one HTML document; equal facts give equal bytes."""
    here = resources.files("align.report")
    at = facts.steps["step"]
    skipped = at[facts.steps.get("skipped", np.zeros(len(at))) > 0]
    figures, carried = curves(
        charts(facts), np.concatenate([at, facts.validations["step"]]), marks_of(facts.events, skipped)
    )
    sections = [
        ("curves", figures),
        ("samples", samples.section(facts)),
        ("validation", _validations(facts)),
        ("events", happened(facts.events)),
        ("configuration", settings("configuration", "Configuration", _chosen(facts))),
        ("environment", settings("environment", "Environment", facts.run.get("environment"))),
    ]
    return whole(
        "alignment run", facts.name, str(facts.run.get("millrace", "")), _tiles(facts), sections, carried,
        "run.json, log.jsonl, samples.jsonl and events.jsonl",
        here.joinpath("page.css").read_text("utf-8"), here.joinpath("page.js").read_text("utf-8"),
    )  # fmt: skip


def _chosen(facts: Facts) -> dict[str, Any]:
    """Return the configuration without the sections of other methods, which are empty."""
    return {name: item for name, item in facts.settings.items() if item is not None}


def _tiles(facts: Facts) -> str:
    steps = facts.steps
    tiles = [("Method", text(facts.method, 60), "")] if facts.method else []
    if not len(steps["step"]):
        return tiled(tiles) if tiles else ""
    planned = (facts.settings.get("training") or {}).get("steps")
    skipped = int(np.nansum(steps.get("skipped", np.zeros(1))))
    tiles += [
        ("Steps", count(int(steps["step"][-1])), joined(f"of {count(planned)}" if planned else "",
                                                        f"{count(skipped)} skipped" if skipped else "")),
        ("Tokens learnt", short(last(steps, "tokens")), ""),
    ]  # fmt: skip
    for name, title in (("reward", "Reward"), ("accuracy", "Accuracy"), ("loss", "Loss")):
        early, late = early_and_late(steps, name)
        if np.isfinite(late):
            tiles.append((title, value(late), f"over the last tenth; {value(early)} over the first"))
    for name, title in (("kl", "KL to the reference"), ("ratio_error", "Trainer / generator")):
        if np.isfinite(last(steps, name)):
            tiles.append((title, value(last(steps, name)), "at the last step"))
    tiles.append(("Tokens a second", short(float(np.nanmedian(steps["tokens_per_second"]))), "median of the steps"))
    tiles.append(("Time of these steps", seconds(float(np.nansum(steps["seconds"]))), ""))
    tiles.append(("Peak memory", bytes_(int(np.nanmax(steps["memory_bytes"]))), "of a process or device"))
    return tiled(tiles)


def _validations(facts: Facts) -> str:
    found = facts.validations
    total = len(found["step"])
    if not total:
        return ""
    names = [name for name in found if name not in ("step", "validation_seconds")]
    rows = [
        row([(count(int(found["step"][n])), "n"), *((_given(found[name][n]), "n") for name in names)])
        for n in range(total)[-VALIDATIONS:]
    ]
    head = row([("After step", "n"), *((text(name.replace("_", " "), 40), "n") for name in names)], "th")
    earlier = f"; the last {VALIDATIONS} are shown" if total > VALIDATIONS else ""
    return (
        f'<h2 id="validation">Validation <small>{count(total)} times{earlier}</small></h2>'
        f'<div class="wide"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _given(found: float) -> str:
    return number(found) if np.isfinite(found) else "–"
