"""The page: facts as HTML, one file that needs nothing else, no network; without a script all but moving limits."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

import yaml

from curator.report import contamination, figures
from curator.report.charts import bar
from curator.report.edits import edits
from curator.report.gather import Facts, Staged
from millrace.markup import (
    bytes_,
    count,
    element,
    named,
    plural,
    row,
    seconds,
    share,
    short,
    text,
    tiled,
    value,
)
from millrace.page import document

FILES = 20  # inputs and quarantined files named
EXAMPLES = 5  # of each reason
SAID = 6  # texts of evidence named for a reason


def page(facts: Facts) -> str:
    """Return the report as one HTML document; equal facts give equal bytes."""
    here = resources.files("curator.report")
    script = "".join(here.joinpath(name).read_text("utf-8") for name in ("page.js", "explorer.js"))
    sections = [
        ("funnel", "What each stage took", funnel(facts)),
        ("reasons", "Reasons", _reasons(facts)),
        ("signals", "Signals and their limits", figures.signals(facts)),
        ("edits", "What edits cut", edits(facts.edits)),
        ("duplicates", "Duplicates", figures.duplicates(facts)),
        ("contamination", "Contamination", contamination.section(facts.contamination)),
        ("tokens", "Tokens", _tokens(facts)),
        ("examples", "Examples", _examples(facts)),
        ("run", "This run", _run(facts)),
    ]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, content in sections if content)
    body = [
        _header(facts, f'<nav aria-label="Sections">{links}</nav>'),
        "<main>",
        *(s for _, _, s in sections),
    ]
    return document(
        title=f"{facts.name} – report of a Millrace run",
        version=facts.run["millrace"],
        style="".join(here.joinpath(name).read_text("utf-8") for name in ("page.css", "explorer.css")),
        script=script,
        body="\n".join([*body, "</main>", _footer(facts)]),
    )


def _header(facts: Facts, nav: str) -> str:
    run = facts.run
    kept = f"{share(run['documents'], run['read'])} of those read"
    last = run["stages"][-1] if run["stages"] else {"characters_out": 0}
    tiles = [
        ("Documents read", count(run["read"]), f"in {plural(run['inputs']['files'], 'file')}, "
                                               f"{bytes_(run['inputs']['bytes'])}"),
        ("Documents kept", count(run["documents"]), kept if run["read"] else ""),
        ("Characters kept", short(last["characters_out"]), ""),
    ]  # fmt: skip
    if tokens := run["tokens"]:
        tiles.append(
            (
                "Tokens",
                short(tokens["tokens"]),
                f"{plural(tokens['rows'], 'row')} of {tokens['seq_length']:,}",
            )
        )
    device = {"cpu": "CPU", "gpu": "GPU"}.get(run["device"], run["device"])
    tiles.append(("Time", seconds(run["seconds"]), f"{plural(run['workers'], 'worker')}, {text(device)}"))
    names = "".join(element("li", text(name)) for name, _, _ in facts.stages)
    return "".join(
        [
            f'<header><p class="note">Report of a Millrace run</p><h1>{named(facts.name)}</h1>{nav}',
            tiled(tiles),
            f'<ol class="steps">{names}</ol>',
            _quarantined(run["quarantined"]),
            _left_out(run),
            "</header>",
        ]
    )


def _quarantined(bad: list[dict[str, str]]) -> str:
    if not bad:
        return ""
    items = [f"<li>{named(one['file'])}: {text(one['reason'], 200)}</li>" for one in bad[:FILES]]
    items += [f"<li>and {count(len(bad) - FILES)} more, in run.json</li>"] if len(bad) > FILES else []
    said = f"<b>Not read, and counted nowhere below: {plural(len(bad), 'part')} of the input</b>"
    return f'<div class="warn"><p>{said}</p><ul>{"".join(items)}</ul></div>'


def _left_out(run: dict[str, Any]) -> str:
    """Say which records of the input are no documents, and what the GPU left to the CPU."""
    said = []
    if skipped := run["skipped"]:
        kinds = ", ".join(f"{count(number)} {text(kind, 60)}" for kind, number in list(skipped.items())[:FILES])
        said.append(f"Records that are no documents, skipped: {kinds}.")
    if moved := run["kernel_fallback_bytes"]:
        said.append(f"Kernels without a GPU version took {bytes_(moved)} over the CPU.")
    return element("p", " ".join(said), "note") if said else ""


def funnel(facts: Facts) -> str:
    """Return the section of what each stage took."""
    run = facts.run
    if not run["stages"]:
        return '<h2 id="funnel">What each stage took</h2><p>No document was read.</p>'
    units = _units(facts.stages)
    extracted = ", characters in per cent of the text extracted" if "HTML" in units else ""
    first = next((s for s in run["stages"] if units[s["index"]] == "text"), None)
    whole = first["characters_out"] if first else 0
    rows = []
    for stage in run["stages"]:
        cells = [(text(stage["stage"]), "")]
        cells += _amount("documents", stage["documents_in"], stage["documents_out"], run["read"])
        if units[stage["index"]] != "text":  # its characters compare with nothing that follows
            said = f'{count(stage["characters_out"])} <span class="share">HTML</span>'
            cells += [("", "b"), (said, "n")]
        elif stage is first:
            cells += _amount("characters", whole, whole, whole)
        else:
            cells += _amount("characters", stage["characters_in"], stage["characters_out"], whole)
        rows.append(row([*cells, (seconds(stage["seconds"] + stage["fit_seconds"]), "n s")]))
    head = row([("Stage", ""), ("Documents left", "b"), ("", "n"), ("Characters left", "b"), ("", "n"),
                ("Work", "n s")], "th")  # fmt: skip
    return (
        '<h2 id="funnel">What each stage took</h2>'
        '<p class="note"><span class="key"></span> left after the stage, <span class="key out"></span> taken by it; '
        f"in per cent of what was read{extracted}. Work is the time of all workers together.</p>"
        f'<table class="funnel"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _units(stages: list[Staged]) -> list[str]:
    """Return, for each stage, what its characters are of: `text`, or `HTML` until there is text."""
    units: list[str] = []
    known = False
    for _, _, kind in stages:
        writes = getattr(kind, "writes", None)
        known = known or not isinstance(writes, Mapping) or "text" in writes or not ("html" in writes or units)
        units.append("text" if known else "HTML")
    return units


def _amount(what: str, before: int, after: int, whole: int) -> list[tuple[str, str]]:
    """Return two cells: a bar, and number, share and difference."""
    said = f'{count(after)} <span class="what">{what}</span> <span class="share">{share(after, whole)}</span>'
    if after != before:
        sign = "−" if after < before else "+"
        said += f'<br><span class="took">{sign}{count(abs(after - before))}</span>'
    return [(bar(min(after, whole), whole, "kept", max(min(before, whole) - after, 0)), "b"), (said, "n")]


def _slug(index: int, reason: str) -> str:
    return f"reason-{index}-{re.sub(r'[^A-Za-z0-9_]+', '-', reason)}"


def _reasons(facts: Facts) -> str:
    if not facts.reasons:
        return '<h2 id="reasons">Reasons</h2><p>No document was dropped.</p>'
    most, total = max(facts.reasons.values()), sum(facts.reasons.values())
    rows = []
    before = None
    for (index, reason), number in facts.reasons.items():
        name = text(reason, 100)
        if facts.examples.get((index, reason)):
            name = f'<a href="#{_slug(index, reason)}">{name}</a>'
        said = facts.said.get((index, reason))
        if said:
            named_ = [f"{text(what)} {count(n)}" for what, n in sorted(said.items(), key=lambda w: (-w[1], w[0]))]
            more = f", and {count(len(named_) - SAID)} more" if len(named_) > SAID else ""
            name += f'<div class="said">{", ".join(named_[:SAID])}{more}</div>'
        cells = [
            (text(facts.stages[index][0]) if index != before else "", "s"),
            (name, "r"),
            (count(number), "n"),
            (share(number, facts.run["read"]), "n"),
            (bar(number, most, "out"), "b"),
        ]
        rows.append(row(cells))
        before = index
    head = row([("Stage", ""), ("Reason", ""), ("Documents", "n"), ("Of those read", "n"), ("", "b")], "th")
    return (
        f'<h2 id="reasons">Reasons <small>{plural(total, "document")} dropped, each for the first that held'
        f'</small></h2><div class="wide"><table class="reasons"><thead>{head}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _examples(facts: Facts) -> str:
    shown = [(key, few[:EXAMPLES]) for key in facts.reasons if (few := facts.examples.get(key))]
    if not shown:
        return ""
    parts = [
        '<h2 id="examples">Examples <small>of dropped documents, a few for each reason</small></h2>'
        '<input type="search" id="find" placeholder="Narrow to a stage, reason or word" '
        'aria-label="Narrow the examples" hidden>'
    ]
    for (index, reason), few in shown:
        stage = text(facts.stages[index][0])
        find = text(" ".join([facts.stages[index][0], reason, *(e["excerpt"] for e in few)]).lower())
        parts.append(
            f'<section data-find="{find}"><h3 id="{_slug(index, reason)}">{stage}: {text(reason, 100)} '
            f"<small>{plural(facts.reasons[index, reason], 'document')}</small></h3>"
            + "".join(_example(example) for example in few)
            + "</section>"
        )
    return "".join(parts)


def _example(example: dict[str, Any]) -> str:
    said = [figures.who(example)]
    if example["value"] is not None:
        against = f", limit {value(example['threshold'])}" if example["threshold"] is not None else ""
        said.append(f"measured {value(example['value'])}{against}")
    if example["value_text"]:
        said.append(f"<bdi>{text(example['value_text'], 120)}</bdi>")
    if example["witness"] is not None:
        said.append(f"witness {example['witness']}")
    excerpt = example["excerpt"]
    first = " ".join(excerpt.split())[:200]
    shown = f'<div class="excerpt" dir="auto">{text(first) or "<i>(no text)</i>"}</div>'
    if len(excerpt) > len(first):
        whole = f'<div class="excerpt" dir="auto">{text(excerpt)}</div>'
        opening = f'<span class="excerpt" dir="auto">{text(first)} …</span>'
        shown = f"<details><summary>{opening}</summary>{whole}</details>"
    return f'<div class="example"><div class="who">{" · ".join(said)}</div>{shown}</div>'


def _tokens(facts: Facts) -> str:
    manifest = facts.manifest
    parts = []
    if manifest is not None:
        each = manifest["tokens"] / manifest["documents"] if manifest["documents"] else 0
        tiles = [
            ("Tokens", count(manifest["tokens"]), f"{each:,.0f} a document"),
            ("Rows", count(manifest["rows"]), f"of {count(manifest['seq_length'])} tokens"),
            (
                "Fill",
                share(manifest["tokens"], manifest["rows"] * manifest["seq_length"]),
                "of the rows' tokens",
            ),
            ("Vocabulary", count(manifest["vocab_size"]), text(manifest["dtype"])),
            ("Documents cut", count(manifest["documents_cut"]), "longer than a row"),
            ("Shards", count(len(manifest["shards"])), text(manifest["format"])),
        ]
        parts.append(tiled(tiles))
    if facts.lengths is not None:
        drawn = figures.card("tokens a document", facts.lengths, [f"of {plural(facts.lengths.values, 'document')}"])
        parts.append(element("div", drawn, "cards"))
    return f'<h2 id="tokens">Tokens</h2>{"".join(parts)}' if parts else ""


def _run(facts: Facts) -> str:
    run = facts.run
    stages = "".join(row([(text(name), ""), (_settings(settings, kind), "")]) for name, settings, kind in facts.stages)
    files = [f"<li>{named(url)} <small>{bytes_(size)}</small></li>" for url, size in facts.files[:FILES]]
    if len(facts.files) > FILES:
        files.append(f"<li>and {count(len(facts.files) - FILES)} more, in inputs.json</li>")
    used = run["inputs"]
    size = f"{plural(used['files'], 'file')}, {plural(used['parts'], 'part')}, {bytes_(used['bytes'])}"
    versions = ", ".join(f"{text(name)} {text(version)}" for name, version in run["versions"].items())
    return (
        '<h2 id="run">This run</h2><h3>Stages <small>settings in bold are not the defaults</small></h3>'
        f'<table class="settings"><tbody>{stages}</tbody></table>'
        f"<h3>Input <small>{size}</small></h3><ul>{''.join(files)}</ul>"
        f"<h3>Versions</h3><p>millrace {text(run['millrace'])}, {versions}</p>"
    )


def _settings(settings: dict[str, Any], kind: type | None) -> str:
    """Return what a stage does, and its settings; those that differ from their default in bold."""
    defaults = {f.name: f.default for f in dataclasses.fields(kind)} if kind is not None else {}
    said = []
    for name, given in settings.items():
        shown = yaml.safe_dump(given, default_flow_style=True, allow_unicode=True, width=10**6).removesuffix("...\n")
        pair = f"<code>{text(name)}: {text(shown.strip(), 200)}</code>"
        default = defaults.get(name)
        same = given == (list(default) if isinstance(default, tuple) else default)
        said.append(pair if same else element("b", pair))
    does = text((inspect.getdoc(kind) or "").partition("\n")[0].replace("`", "")) if kind is not None else ""
    return f"{does}<div class='said'>{', '.join(said)}</div>"


def _footer(facts: Facts) -> str:
    return (
        f"<footer>Written by millrace {text(facts.run['millrace'])}. "
        f"<code>millrace why {text(facts.name, 100)} DOC_ID</code> says why one document was kept or dropped.</footer>"
    )
