"""The page at the demo's end: funnel, curves, evaluation, answers before and after, sizes and seconds."""

from __future__ import annotations

import argparse
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from typing import Any

import numpy as np

from millrace import __version__, storage
from millrace.config import build
from millrace.markup import bytes_, count, element, row, seconds, short, text, tiled, value
from pipelines.full.gather import Facts, gather
from pipelines.full.measures import DRAWS
from pipelines.full.plan import ALIGNED, MODELS, Wishes, steps
from pipelines.full.tasks import KINDS, WEIGHT
from pretrain.report.curves import Chart, draw
from pretrain.report.parts import settings, whole

SAID = {"pretrain": "pretrained", "sft": "fine-tuned", "dpo": "preferences", "grpo": "reinforced"}
# of each training: which curves, by their names in its own report
DRAWN = {"pretrain": ("loss",), "sft": ("loss",), "dpo": ("loss", "accuracy"), "grpo": ("reward", "reward-math")}
TITLES = {"pretrain": "Pretraining", "sft": "Fine-tuning (SFT)", "dpo": "Preferences (DPO)",
          "grpo": "Reinforcement (GRPO)"}  # fmt: skip


def page(facts: Facts) -> str:
    """Return the page as one HTML document; equal facts give equal bytes."""
    from curator.report.page import funnel

    here = resources.files("pipelines.full")
    curves, carried = _curves(facts)
    sections = [
        ("funnel", funnel(facts.curation)),
        ("curves", curves),
        ("evaluation", _evaluation(facts)),
        ("answers", _answers(facts)),
        ("data", _data(facts)),
        ("sizes", _sizes(facts)),
        ("seconds", _seconds(facts)),
        ("environment", settings("environment", "Environment and seeds", _environment(facts))),
    ]
    style = resources.files("curator.report").joinpath("page.css").read_text("utf-8")
    return whole(
        "demo, from crawl to answer", facts.name, __version__, _tiles(facts), sections, carried,
        "the run folders of its steps", style + here.joinpath("page.css").read_text("utf-8"),
    )  # fmt: skip


def _tiles(facts: Facts) -> str:
    run, spent = facts.curation.run, [record for _, record in facts.steps]
    losses = facts.pretraining.log.validations["validation_loss"]
    whole_seconds = sum(one.seconds for one in spent)
    tiles = [
        ("Documents kept", count(run["documents"]), f"of {count(run['read'])} read"),
        ("Tokens", short(run["tokens"]["tokens"]), f"vocabulary {count(run['tokens']['vocab_size'])}"),
        ("Parameters", short(_parameters(facts)), ""),
        ("Validation loss", value(float(losses[-1])) if len(losses) else "–", "nats a token, of held-out documents"),
    ]
    for task, measure, models, name, remark in TILES:
        change = [_measure(facts, model, task, measure) for model in models]
        if all(change):
            first, last = (f"{one['value']:.2f}" for one in change if one)
            tiles.append((name, last, f"{first} {remark}"))
    tiles.append(("Time", seconds(whole_seconds), f"{seconds(sum(one.cpu_seconds for one in spent))} of CPU"))
    return tiled(tiles)


TILES = (("pairs", "acc", ("sft", "dpo"), "True section preferred", "before DPO; held-out pairs, chance 0.5"),
         ("tasks", "sampled/reward", ("dpo", "grpo"), "Held-out reward",
          f"before GRPO; sampled, of {1 + WEIGHT}"))  # fmt: skip


def _curves(facts: Facts) -> tuple[str, dict[str, Any]]:
    figures, carried = [], dict[str, Any]()
    for name in MODELS:
        charts, steps = _charts(facts, name)
        for chart in charts:
            figure, told = draw(chart, int(steps.min()), int(steps.max()), {})
            figures.append(figure)
            carried[chart.name] = told | {"training": name}
    curves = f'<div class="curves">{"".join(figures)}</div>' if figures else "<p>No step was logged.</p>"
    return f'<h2 id="curves">Curves</h2>{curves}', carried


def _charts(facts: Facts, name: str) -> tuple[list[Chart], np.ndarray]:
    """Return a training's charts that are drawn here, under names of their own, and all its steps."""
    from align.report.charts import charts as aligned
    from pretrain.report.page import charts as pretrained

    if name == "pretrain":
        found, log = pretrained(facts.pretraining), facts.pretraining.log
        steps = [log.steps["step"], log.validations["step"]]
    else:
        of = facts.aligned[name]
        found, steps = aligned(of), [of.steps["step"], of.validations["step"]]
    chosen = [
        replace(one, name=f"{name}-{one.name}", title=f"{TITLES[name]}: {one.title[:1].lower()}{one.title[1:]}")
        for one in found if one.name in DRAWN[name]
    ]  # fmt: skip
    return chosen, np.concatenate(steps)


def _evaluation(facts: Facts) -> str:
    rows = []
    for task, measure, said, remark, higher, digits in MEASURES:
        found = [_measure(facts, model, task, measure) for model in MODELS]
        if not any(found):
            continue
        values = [one["value"] if one else math.nan for one in found]
        best = np.nanmax(values) if higher else np.nanmin(values)
        items = next(facts.evaluation[model][task]["items"] for model in MODELS if task in facts.evaluation[model])
        items = items[measure] if isinstance(items, Mapping) else items
        name = f"{text(said)}<small>{text(remark)}; {count(items)} items</small>"
        cells = [(_with_error(one, digits), "n best" if number == best else "n") for one, number in zip(found, values)]
        rows.append(row([(name, ""), *cells]))
    head = row([("On held-out documents and tasks", ""), *((SAID[name], "n") for name in MODELS)], "th")
    return (
        '<h2 id="evaluation">Evaluation <small>after each training, ± a standard error</small></h2>'
        f'<div class="wide"><table class="evaluation"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'
        '<p class="note">None of these documents, and no wording of these tasks, was learnt from in any training. '
        "A task's error counts a question in several wordings once. The best of a row is bold.</p>"
    )


# task, measure, what it is, how it is measured, whether more is better, digits
MEASURES = (
    ("documents", "bits_per_byte", "Bits per byte", "of the begins of documents", False, 3),
    ("choices", "acc_norm", "True section among four", "by log-probability a character; chance 0.25", True, 3),
    ("pairs", "acc", "True section preferred to a wrong one", "by log-probability; chance 0.5", True, 3),
    ("tasks", "sampled/reward", f"Reward of tasks, of {1 + WEIGHT}", f"{DRAWS} samples each, as GRPO draws", True, 3),
    ("tasks", "sampled/right", "Right answer", "of these samples", True, 3),
    ("tasks", "sampled/form", "Right form", "of these samples", True, 3),
    ("tasks", "sampled/solved", "Right answer in the right form", "of these samples", True, 3),
    ("tasks", "greedy/right", "Right answer", "greedily", True, 3),
    ("tasks", "greedy/solved", "Right answer in the right form", "greedily", True, 3),
    *(("tasks", f"sampled/right/{kind}", f"Right answer: {kind}", "of these samples", True, 3) for kind in KINDS),
)


def _measure(facts: Facts, model: str, task: str, measure: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] = facts.evaluation.get(model, {}).get(task, {}).get("measures", {})
    return found.get(measure)


def _with_error(found: Mapping[str, Any] | None, digits: int) -> str:
    if not found:
        return "–"
    error = found.get("stderr")
    beside = f' <span class="err">± {error:.{digits}f}</span>' if error is not None else ""
    return f"{found['value']:.{digits}f}{beside}"


def _answers(facts: Facts) -> str:
    asked = []
    for one in facts.examples:
        answers = list(_by_model(one["answers"]))
        if one["question"] == facts.served.get("question"):
            answers.append(("served", "the export, over HTTP", facts.served["after"]))
        asked.append(_asked(one["question"], one.get("wanted", ""), answers))
    return (
        f'<h2 id="answers">Answers <small>to held-out questions, greedily</small></h2>{"".join(asked)}' if asked else ""
    )


def _by_model(answers: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name in MODELS:
        if name in answers:
            yield SAID[name], "", answers[name]


def _asked(question: str, wanted: str, answers: Sequence[tuple[str, str, str]]) -> str:
    rows = [f'<dt class="wanted">true answer</dt><dd class="wanted">{text(wanted, 600)}</dd>'] if wanted else []
    for who, how, said in answers:
        beside = element("small", text(how)) if how else ""
        rows.append(f"<dt>{text(who)}{beside}</dt><dd>{text(said.strip() or '(nothing)', 600)}</dd>")
    return f'<div class="answers"><header><b>{text(question)}</b></header><dl>{"".join(rows)}</dl></div>'


def _data(facts: Facts) -> str:
    made = facts.manifest
    documents = made["documents"]
    rows = [
        row([(text(name), ""), (count(one["records"]), "n"), (f"<code>{one['sha256'][:16]}</code>", "")])
        for name, one in made["files"].items()
    ]
    left_out = ", ".join(
        f"{count(number)} {text(name.partition(': ')[2])}"
        for name, number in made["counts"].items() if name.startswith("sections left out")
    )  # fmt: skip
    head = row([("File", ""), ("Records", "n"), ("SHA-256", "")], "th")
    return (
        '<h2 id="data">Alignment data</h2>'
        f"<p>By script from the {count(documents['learnt'] + documents['held out'])} curated documents, "
        f"{count(documents['held out'])} of which are held out of every training by the hash of their page. Sections "
        f"left out: {left_out}.</p>"
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _sizes(facts: Facts) -> str:
    rows = [row([(text(name), ""), (bytes_(size), "n")]) for name, size in facts.bytes.items()]
    return (
        '<h2 id="sizes">Sizes</h2>'
        f"<table><thead>{row([('What', ''), ('Bytes', 'n')], 'th')}</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _seconds(facts: Facts) -> str:
    from curator.report.charts import bar

    longest = max((record.seconds for _, record in facts.steps), default=1.0)
    rows = []
    for step, record in facts.steps:
        times = "" if record.attempts == 1 else f", in {record.attempts} attempts"
        command = f"{_short(record.command)} {shlex.join(record.command[3:])}"
        rows.append(
            row([(f"<b>{text(step.name)}</b> {text(step.does)}{times}{element('div', text(command), 'command')}", ""),
                 (bar(record.seconds, longest, "kept"), "b"), (seconds(record.seconds), "n"),
                 (seconds(record.cpu_seconds), "n")])
        )  # fmt: skip
    head = row([("Step", ""), ("", "b"), ("Seconds", "n"), ("of CPU", "n")], "th")
    return (
        '<h2 id="seconds">Seconds</h2>'
        f'<table class="stretch"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _short(command: Sequence[str]) -> str:
    return "millrace" if command[2] == "pipelines.cli" else f"python -m {command[2]}"


def _parameters(facts: Facts) -> int:
    """Return the model's parameters, by its shape."""
    from pretrain.config import Model
    from pretrain.sizes import parameters

    return parameters(build(Model, facts.pretraining.run["config"]["model"])).total


def _environment(facts: Facts) -> dict[str, Any]:
    seeds = {"pretraining": facts.pretraining.run["config"]["training"]["seed"]}
    seeds |= {name: facts.aligned[name].settings["training"]["seed"] for name in ALIGNED}
    return {"millrace": __version__, "seeds": seeds | {"data": facts.manifest["settings"]["seed"]}, **facts.environment}


def main() -> int:
    """Write the page of a demo whose other steps are done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", required=True, metavar="RUN", help="of the demo")
    folder = storage.absolute(parser.parse_args().folder)
    place = storage.join(folder, "report.html")
    storage.write_bytes(place, page(gather(folder, steps(folder, Wishes()))).encode())
    print(place)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
