"""The page of an evaluation: measures with their errors, the comparison, what the model did, and the settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from millrace.markup import count, element, named, plural, row, seconds, text, tiled
from millrace.page import document
from serve.evaluate.compare import Difference
from serve.evaluate.report.figures import dot
from serve.evaluate.results import Results
from serve.evaluate.task import Measure

Differences = Mapping[str, Mapping[str, Difference]]
BOUNDED = ("acc", "exact_match", "pass@", "win_rate", "safe", "accuracy")  # measures that are shares
SAMPLES = 20
LOWER = " <small>lower is better</small>"


def page(made: Results, against: Results | None = None, differences: Differences | None = None) -> str:
    """Return an evaluation as one HTML document; equal results give equal bytes."""
    sections = [
        ("measures", _measures(made)),
        ("comparison", _comparison(made, against, differences) if against and differences else ""),
        ("items", _samples(made)),
        ("settings", _settings(made)),
    ]
    links = "".join(f'<a href="#{name}">{name.capitalize()}</a>' for name, content in sections if content)
    facts = made.model
    tiles = [
        ("Model", named(facts["name"]), text(", ".join([str(facts["kind"]), *_machines(made)]))),
        ("Tasks", count(len(made.tasks)), ""),
        ("Items", count(sum(one.items for one in made.tasks.values())), ""),
        ("Time", seconds(sum(one.seconds for one in made.tasks.values())), "without opening the model"),
    ]
    version = str(made.versions["millrace"])
    body = (
        f'<header><p class="note">Evaluation by Millrace</p><h1>{named(facts["name"])}</h1>'
        f'<nav aria-label="Sections">{links}</nav>{tiled(tiles)}</header><main>'
        + "\n".join(content for _, content in sections if content)
        + f"</main><footer>Made by millrace {text(version)} from results.json and values/.</footer>"
    )
    style = resources.files("serve.evaluate.report").joinpath("page.css").read_text("utf-8")
    return document(f"{facts['name']} – evaluation", version, style, "", body)


def around(measure: Measure) -> tuple[float, float]:
    """Return the 95 % interval of a measure: its own, or 1.96 standard errors on each side."""
    if measure.interval:
        return measure.interval
    error = 1.96 * (measure.stderr or 0.0)
    return measure.value - error, measure.value + error


def _measures(made: Results) -> str:
    rows = []
    for label, result in made.tasks.items():
        for name, measure in result.measures.items():
            rows.append(row([
                (text(label, 60), ""),
                (text(name, 60) + LOWER * (measure.higher_is_better is False), ""),
                (_number(measure.value), "n"), (_number(measure.stderr), "n"), (_figure(name, measure), ""),
                (count(result.items), "n"), (seconds(result.seconds), "n"),
            ]))  # fmt: skip
    head = row([("Task", ""), ("Measure", ""), ("Value", "n"), ("Standard error", "n"), ("95 % interval", ""),
                ("Items", "n"), ("Time", "n")], "th")  # fmt: skip
    notes = [f"{text(label, 60)}: {plural(result.counts['truncated'], 'item')} longer than the model can read lost the "
             "first tokens" for label, result in made.tasks.items() if result.counts.get("truncated")]  # fmt: skip
    told = element("p", "; ".join(notes) + ".", "note") if notes else ""
    return f'<h2 id="measures">Measures</h2><div class="wide"><table>{head}{"".join(rows)}</table></div>{told}'


def _figure(name: str, measure: Measure) -> str:
    if measure.value is None or (measure.stderr is None and not measure.interval):
        return ""
    low, high = around(measure)
    least, most = (0.0, 1.0) if name.startswith(BOUNDED) else (low - (high - low), high + (high - low))
    return dot(measure.value, low, high, least, most)


def _comparison(made: Results, against: Results, differences: Differences) -> str:
    rows = []
    for label, found in differences.items():
        for name, one in found.items():
            reach = max(abs(one.low), abs(one.high), abs(one.value)) or 1.0
            rows.append(row([
                (text(label, 60), ""),
                (text(name, 60) + ("" if one.merit else " <small>more / less, neither is better</small>"), ""),
                (f"{one.value:+.4g}", "n"),
                (f"{one.low:+.4g} to {one.high:+.4g}", "n"),
                (dot(one.value, one.low, one.high, -reach, reach, True), ""),
                (f"{count(one.better)} / {count(one.worse)}", "n"),
                (f"{one.p:.3g} <small>{text(one.test)}</small>", "n"),
            ]))  # fmt: skip
    head = row([("Task", ""), ("Measure", ""), ("Difference", "n"), ("95 % of the bootstrap", "n"), ("", ""),
                ("Better / worse", "n"), ("p", "n")], "th")  # fmt: skip
    return (
        f'<h2 id="comparison">Comparison <small>{named(made.model["name"])} less '
        f"{named(against.model['name'])}, item by item</small></h2>"
        f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'
        '<p class="note">The interval is of 10,000 draws of the items, with replacement, both models on the same ones. '
        "p is of the items on which they differ. Measures of groups are not compared.</p>"
    )


def _samples(made: Results) -> str:
    parts = []
    for label, result in made.tasks.items():
        shown = "".join(_sample(one) for one in result.samples[:SAMPLES])
        if shown:
            some = plural(min(len(result.samples), SAMPLES), "item")
            parts.append(
                f"<details><summary>{text(label, 60)} <small>the first {some}</small></summary>{shown}</details>"
            )
    return f'<h2 id="items">Items</h2>{"".join(parts)}' if parts else ""


def _sample(sample: Mapping[str, Any]) -> str:
    rest = {name: one for name, one in sample.items() if name not in ("place", "prompt", "answers", "gold", "picked")}
    answers = "".join(_answer(n, one, sample) for n, one in enumerate(sample.get("answers") or ()))
    facts = "".join(row([(text(name, 60), ""), (_quoted(one), "")]) for name, one in rest.items())
    prompt = _quoted(sample["prompt"]) if sample.get("prompt") else ""
    tables = "".join(f"<table>{part}</table>" for part in (answers, facts) if part)
    return f'<div class="sample"><small>{named(sample.get("place", ""))}</small>{prompt}{tables}</div>'


def _answer(number: int, answer: Mapping[str, Any], sample: Mapping[str, Any]) -> str:
    picked = sorted(name for name, one in (sample.get("picked") or {}).items() if one == number)
    kind = " ".join(
        word for word, holds in (("right", sample.get("gold") == number), ("picked", bool(picked))) if holds
    )
    said = ("right; " if sample.get("gold") == number else "") + ("picked by " + ", ".join(picked) if picked else "")
    score = answer.get("loglikelihood")
    return row([(_quoted(answer.get("text", "")), kind), (_number(score) if score is not None else "", "n"),
                (text(said.strip("; ")), "")])  # fmt: skip


def _settings(made: Results) -> str:
    parts = []
    for label, result in made.tasks.items():
        facts = {
            **result.settings,
            **{f"SHA-256 of {name}": sum_ for name, sum_ in result.files.items()},
            **result.counts,
            **made.runs.get(label, {}),
        }
        parts.append(f"<h3>{text(label, 60)} <small>{text(result.task)}</small></h3>" + _facts(facts))
    model = {**made.model, **made.versions}
    return f'<h2 id="settings">Settings</h2>{"".join(parts)}<h3>Model and versions</h3>{_facts(model)}'


def _machines(made: Results) -> list[str]:
    """Return the types and devices that the tasks were run with, each once."""
    return list(dict.fromkeys(one[name] for name in ("dtype", "device") for one in made.runs.values()))


def _facts(facts: Mapping[str, Any]) -> str:
    rows = "".join(
        row([(text(name, 200), ""), (f"<code>{text(_said(one), 400)}</code>", "")]) for name, one in facts.items()
    )
    return f'<table class="settings">{rows}</table>'


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)


def _quoted(said: Any) -> str:
    return f'<div class="quoted" dir="auto">{text(f"{said:.6g}" if isinstance(said, float) else said, 2000)}</div>'


def _number(given: float | None) -> str:
    return "–" if given is None else f"{given:.4f}" if abs(given) < 1000 else f"{given:.4g}"


def summary(made: Results, against: Results | None = None, differences: Differences | None = None) -> str:
    """Return the measures, and how they differ from another model's, as lines for a terminal."""
    lines = []
    for label, result in made.tasks.items():
        for name, one in result.measures.items():
            error = f" ± {one.stderr:.4f}" if one.stderr is not None else ""
            if one.interval:  # where the standard error misleads: 0 of 24 is not 0 ± 0
                error = f", 95 % from {_number(one.interval[0])} to {_number(one.interval[1])}"
            items = "" if "/" in name else f"  ({plural(result.items, 'item')})"  # a group has fewer
            lines.append(f"{label:<16} {name:<24} {_number(one.value)}{error}{items}")
        if cut := result.counts.get("truncated"):
            lines.append(f"{label:<16} {plural(cut, 'item')} lost the first tokens: longer than the model can read")
    if against:
        lines.append(f"{made.model['name']} less {against.model['name']}:")
    for label, found in (differences or {}).items():
        for name, diff in found.items():
            more, less = ("better", "worse") if diff.merit else ("more", "less")
            lines.append(
                f"{label:<16} {name:<24} {diff.value:+.4f}, 95 % from {diff.low:+.4f} to {diff.high:+.4f}; {more} on "
                f"{count(diff.better)}, {less} on {count(diff.worse)}; p {diff.p:.3g} ({diff.test})"
            )
    return "\n".join(lines)
