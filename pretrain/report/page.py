"""The page of a pretraining run: tiles, curves, what happened, and with which settings."""

from __future__ import annotations

import numpy as np

from millrace.markup import bytes_, count, plural, row, seconds, short, text, tiled
from pretrain.report.curves import Chart, Line, marks_of
from pretrain.report.gather import Facts
from pretrain.report.parts import curves, happened, joined, number, settings, share_of, whole

VALIDATIONS = 50


def page(facts: Facts) -> str:
    """Return the report as one HTML document; equal facts give equal bytes."""
    steps, validations = facts.log.steps, facts.log.validations
    marks = marks_of(facts.events, steps["step"][steps["skipped"]])
    figures, carried = curves(charts(facts), np.concatenate([steps["step"], validations["step"]]), marks)
    why = ""
    if any(event["kind"] == "bad_batch" for event in facts.events):
        why = (
            '<p class="note">Documents of bad batches: <code>millrace why RUN ID</code>, with the run that made the '
            "shards, says where each comes from.</p>"
        )
    sections = [
        ("curves", figures),
        ("validation", _validations(facts)),
        ("events", happened(facts.events, why)),
        ("configuration", settings("configuration", "Configuration", facts.run.get("config"))),
        ("environment", settings("environment", "Environment", facts.run.get("environment"))),
    ]
    return whole(
        "training run", facts.name, str(facts.run.get("millrace", "")), _tiles(facts), sections, carried,
        "run.json, log.jsonl and events.jsonl",
    )  # fmt: skip


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


def _tiles(facts: Facts) -> str:
    steps, validations = facts.log.steps, facts.log.validations
    if not len(steps["step"]):
        return ""
    planned = ((facts.run.get("config") or {}).get("training") or {}).get("steps")
    skipped = int(steps["skipped"].sum())
    whole, busy = float(steps["seconds"].sum()), steps["train_seconds"] + steps["data_seconds"]
    tiles = [
        ("Steps", count(int(steps["step"][-1])), joined(f"of {count(planned)}" if planned else "",
                                                         f"{count(skipped)} skipped" if skipped else "")),
        ("Tokens", short(int(steps["tokens"][-1])), plural(int(steps["rows"][-1]), "row")),
        ("Training loss", number(steps["loss"][-1]), "at the last step"),
    ]  # fmt: skip
    if len(validations["step"]):
        perplexity = number(validations["perplexity"][-1])
        tiles.append(("Validation loss", number(validations["validation_loss"][-1]), f"perplexity {perplexity}"))
    tiles.append(("Tokens a second", short(float(np.median(steps["tokens_per_second"]))), "median of the steps"))
    if np.isfinite(steps["mfu"]).any():
        source = (facts.run.get("peak") or {}).get("source")
        tiles.append(
            ("MFU", f"{100 * float(np.nanmedian(steps['mfu'])):.1f} %", text(f"of {source}" if source else ""))
        )
    parts = joined(
        f"{share_of(float(busy.sum()), whole)} in steps",
        f"{share_of(float(steps['validation_seconds'].sum()), whole)} in validation",
    )
    tiles.append(("Time of these steps", seconds(whole), parts))
    tiles.append(("Blocked by saves", share_of(float(steps["save_seconds"].sum()), whole), "of the time"))
    tiles.append(("Waiting for data", share_of(float(steps["data_seconds"].sum()), whole), "of the time"))
    tiles.append(("Peak memory", bytes_(int(steps["memory_bytes"].max())), "of a process or device"))
    return tiled(tiles)


def _validations(facts: Facts) -> str:
    found = facts.log.validations
    total = len(found["step"])
    if not total:
        return ""
    rows = [
        row([(count(int(found["step"][n])), "n"), (number(found["validation_loss"][n]), "n"),
             (number(found["perplexity"][n]), "n"), (count(int(found["tokens"][n])), "n"),
             (seconds(float(found["seconds"][n])), "n")])
        for n in range(total)[-VALIDATIONS:]
    ]  # fmt: skip
    head = row([(name, "n") for name in ("After step", "Loss, nats a token", "Perplexity", "Tokens", "Time")], "th")
    earlier = f"; the last {VALIDATIONS} are shown" if total > VALIDATIONS else ""
    return (
        f'<h2 id="validation">Validation <small>{count(total)} times{earlier}</small></h2>'
        f'<div class="wide"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
    )
