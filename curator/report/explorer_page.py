"""The threshold explorer as markup: a panel of what would be kept, sliders, overlaps, and data for the script."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from curator.report.bins import bins
from curator.report.charts import limit_x
from curator.report.explorer import Explorer, Slider
from curator.report.grid import positions
from curator.report.spread import Spread
from millrace.markup import count, named, row, share, text, value

EXCERPT = 160  # characters of an example
MATRIX = 20  # rules in the table of overlaps, those beyond whose limits most documents lie


def panel(explorer: Explorer) -> str:
    """Return what stands above the sliders: documents and tokens kept, by source and language, and the command.

    It is hidden until the script fills it.
    """
    corpus = [explorer.filters.names[index] for index in explorer.filters.corpus]
    later = f" Nothing is redone past the filters: {text(', '.join(corpus))} as in the run." if corpus else ""
    tables = [("source", "Source", explorer.sources)] if len(explorer.sources) > 1 else []
    tables += [("language", "Language", explorer.languages)] if explorer.languages else []
    return (
        '<div id="explorer" class="explorer" hidden role="region" aria-label="What other limits would keep">'
        '<div class="sums"><p><span>Documents kept</span> <output id="x-documents"></output></p>'
        f'<p><span>{explorer.size.capitalize()}</span> <output id="x-size"></output></p>'
        '<p><span id="x-kind" role="status"></span></p></div>'
        '<p class="command"><code id="x-set"></code> <button type="button" id="x-copy">Copy</button> '
        '<button type="button" id="x-reset">Reset</button></p>'
        + "".join(_table(*table, explorer.size) for table in tables)
        + f'<p class="note">Move a limit below its histogram. With one moved the numbers are exact; with several '
        f"they come from a sample of {count(len(explorer.sample.size))} of the {count(explorer.sample.of)} documents "
        f"whose fate hangs on these limits.{later}</p></div>"
    )


def _table(kind: str, title: str, names: list[str], size: str) -> str:
    head = row([(title, ""), ("Documents", "n"), ("", "n"), (size.capitalize(), "n"), ("", "n")], "th")
    rows = "".join(row([(named(name), ""), *[("", "n")] * 4]) for name in names)
    return (
        f'<details><summary>By {kind}</summary><div class="wide"><table id="x-{kind}"><thead>{head}</thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def slider(one: Slider) -> str:
    """Return one limit that can be moved; hidden until the script is there."""
    name = f"x-{one.number}"
    rule = one.reason.rule
    assert rule is not None
    return (
        f'<div class="slide" hidden><label for="{name}">{text(rule.limit)}</label> <output for="{name}"></output>'
        f'<input type="range" id="{name}" data-rule="{one.number}" min="0" max="{len(one.limits) - 1}" step="1" '
        f'value="{one.at}"><p class="effect"></p><details><summary>On either side of the line</summary>'
        '<div class="sides-of-line"></div></details></div>'
    )


def overlap(explorer: Explorer) -> str:
    """Return the table of rules by rules: documents beyond both limits, and beyond one alone."""
    tally, reasons = explorer.tally, explorer.filters.reasons
    held = tally.beyond.diagonal()
    ranked = [int(n) for n in np.argsort(-held, kind="stable")[:MATRIX] if held[n]]
    if not ranked:
        return ""
    chosen = sorted(ranked)
    left_out = int((held > 0).sum()) - len(chosen)
    cells = [("", ""), ("Rule", ""), ("Beyond", "n"), ("Only it", "n"), ("Dropped", "n")]
    cells += [(f'<abbr title="{text(reasons[n].said)}">{i}</abbr>', "n") for i, n in enumerate(chosen, 1)]
    rows = []
    for i, n in enumerate(chosen, 1):
        line = [(str(i), "n"), (text(reasons[n].said), "rule")]
        line += [(count(int(number)), "n") for number in (held[n], tally.only[n], tally.dropped[n])]
        line += [_both(int(tally.beyond[n, m]), int(held[n])) if m != n else ("·", "n") for m in chosen]
        rows.append(row(line))
    more = f" The {left_out} rules of fewest documents are left out." if left_out > 0 else ""
    return (
        '<h3 id="overlap">Overlap of rules <small>of the run as it is</small></h3><p class="note">Documents beyond '
        "the limits of both rules; darker the larger their share of the row's. <b>Only it</b>: documents beyond no "
        f"other limit among those that measured them.{more}</p>"
        f'<div class="wide"><table class="overlap"><thead>{row(cells, "th")}</thead><tbody>{"".join(rows)}</tbody>'
        "</table></div>"
    )


def _both(both: int, whole: int) -> tuple[str, str]:
    level = 0 if not both else 1 + min(3, 4 * both // (whole + 1))
    return f'<span title="{share(both, whole)}">{count(both)}</span>' if both else "", f"n l{level}"


def data(explorer: Explorer, spreads: Mapping[str, Spread], dropped: Mapping[tuple[int, str], list[Any]]) -> str:
    """Return what the script reads, as JSON in ASCII: aggregates, the sample, and excerpts, and no other text."""
    documents = _Documents()
    rules = [_rule(one, spreads, dropped.get((one.reason.decider.index, one.reason.name), []), documents, explorer)
             for one in explorer.sliders]  # fmt: skip
    kept, sample = explorer.tally.kept, explorer.sample
    said = {
        "size": explorer.size,
        "kept": [kept.documents, kept.tokens],
        "tables": [
            {"id": "x-source", "kept": explorer.kept.sum(axis=1).tolist()},
            {"id": "x-language", "kept": explorer.kept.sum(axis=0).tolist()},
        ],
        "rules": rules,
        "documents": documents.listed,
        "sample": {
            "of": sample.of,
            "rows": len(sample.size),
            "at": [_base64(sample.positions[:, i]) for i in range(len(explorer.sliders))],
            "groups": [_base64(sample.source), _base64(sample.language)],
            "unknown": _base64(sample.unknown.astype(np.uint8)),
            "sizes": _base64(np.minimum(sample.size, 2**32 - 1).astype("<u4")),
        },
    }
    return f'<div id="explorer-data" hidden>{html.escape(json.dumps(said, separators=(",", ":")), quote=False)}</div>'


def _base64(column: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(column).tobytes()).decode()


def _rule(
    one: Slider, spreads: Mapping[str, Spread], dropped: list[Any], documents: _Documents, explorer: Explorer
) -> dict[str, Any]:
    rule = one.reason.rule
    assert rule is not None
    drawn = bins(spreads[rule.signal]) if rule.signal in spreads else None
    values = [one.value(i) for i in range(len(one.limits))]
    near = [[p, value(v), documents.add(doc_id, *explorer.texts[doc_id])] for p, (v, doc_id) in one.near.items()]
    for example in dropped:
        if example["value"] is not None:
            place = int(positions(np.array([float(example["value"])]), one.limits, one.below)[0])
            near.append(
                [place, value(example["value"]), documents.add(example["doc_id"], example["id"], example["excerpt"])]
            )
    return {
        "number": one.number,
        "edge": f"{one.reason.decider.index}-{one.reason.name}",
        "name": f"{one.reason.decider.name}.{rule.limit}",
        "below": one.below,
        "at": one.at,
        "set": [_plain(v) for v in values],
        "said": [value(v) for v in values],
        "x": [limit_x(drawn, float(v), one.below) for v in values] if drawn else [],
        "stays": [_columns(one.stays.sum(axis=axis)) for axis in (1, 0)],
        "unknown": one.unknown.T.tolist(),
        "near": sorted(near),
    }


def _columns(table: np.ndarray) -> list[list[list[int]]]:
    """Return (rows, positions, 2) as documents and sizes; a row of nothing but zeros is empty."""
    return [[line.tolist() if line.any() else [] for line in table[:, :, column]] for column in (0, 1)]


def _plain(given: float | int) -> str:
    return str(yaml.safe_dump(given)).removesuffix("...\n").strip()


class _Documents:
    """The documents shown as examples, each once."""

    def __init__(self) -> None:
        self.listed: list[list[str]] = []
        self.places: dict[int, int] = {}

    def add(self, doc_id: int, id_: str, said: str) -> int:
        """Return the place of a document in the list."""
        if doc_id not in self.places:
            self.places[doc_id] = len(self.listed)
            shown = " ".join(said[: 4 * EXCERPT].split())[:EXCERPT]
            name = " ".join(filter(None, [str(doc_id), id_[:EXCERPT]]))
            self.listed.append([html.unescape(text(name)), html.unescape(text(shown))])
        return self.places[doc_id]
