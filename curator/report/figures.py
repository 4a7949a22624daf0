"""The sections that show measurements: signals against their limits, duplicates beside their witnesses."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from curator.report import explorer_page
from curator.report.bins import bins
from curator.report.charts import histogram
from curator.report.copies import Copies, Pair
from curator.report.explorer import Slider
from curator.report.gather import Facts, Signal
from curator.report.spread import Limit, Spread
from curator.report.worddiff import Run
from millrace.markup import count, element, named, plural, share, text, value

WORD = 80  # characters shown of one word


def signals(facts: Facts) -> str:
    """Return a small histogram of every signal, grouped by the filter that measures it."""
    if not any(signal.spread.values for signal in facts.signals):
        return ""
    sliders = {(s.reason.decider.index, s.reason.name): s for s in facts.explorer.sliders} if facts.explorer else {}
    parts = [
        '<h2 id="signals">Signals and their limits</h2>',
        '<p class="note">How often each value was measured. A dashed line is a limit, its arrow points to what is '
        'dropped, and <span class="key out"></span> bars lie beyond it. A document may lie beyond several limits '
        "but is dropped for the first alone. Bars at the ends also hold what is off the axis.</p>",
        '<div class="signals">',  # the panel stays in sight as long as there are sliders
        explorer_page.panel(facts.explorer) if facts.explorer else "",
    ]
    for stage, group in itertools.groupby(facts.signals, key=lambda signal: signal.stage):
        members = [signal for signal in group if signal.spread.values]
        if members:
            most = max(signal.spread.values for signal in members)
            measured = f"<small>measured on {plural(most, 'document')}</small>"
            parts.append(f"<h3>{text(facts.stages[stage][0])} {measured}</h3>")
            cards = [_signal(signal, most, facts.reasons, sliders) for signal in members]
            parts.append(element("div", "".join(cards), "cards"))
    parts.append("</div>")
    if facts.explorer:
        spreads = {signal.name: signal.spread for signal in facts.signals}
        parts += [explorer_page.overlap(facts.explorer), explorer_page.data(facts.explorer, spreads, facts.examples)]
    return "".join(parts)


def _signal(
    signal: Signal, most: int, reasons: Mapping[tuple[int, str], int], sliders: Mapping[tuple[int, str], Slider]
) -> str:
    notes = []
    moved = [sliders[key] for limit in signal.spread.limits if (key := (limit.stage, limit.reason)) in sliders]
    for limit, over in zip(signal.spread.limits, signal.spread.over, strict=True):
        fell = reasons.get((limit.stage, limit.reason), 0)
        sign = "at least" if limit.below else "at most"
        many = f"<b>{count(over)}</b> beyond ({share(over, signal.spread.values)})" if over else "none beyond"
        notes.append(
            f"{text(limit.name)}: {sign} {value(limit.value)} – {many}" + (f", {count(fell)} dropped" if over else "")
        )
    if signal.spread.values < most:
        notes.append(f"measured on {plural(signal.spread.values, 'document')}")
    return card(signal.name.replace("_", " "), signal.spread, notes, "".join(map(explorer_page.slider, moved)))


def card(title: str, spread: Spread, notes: list[str], below: str = "") -> str:
    """Return one small histogram with its title, notes and what stands `below` it (markup); a spread without
    values has none."""
    shown = bins(spread)
    if shown is None:
        return ""
    if shown.zeros is not None:
        notes = [*notes, f"not drawn: {share(shown.zeros, spread.values)} are 0"]
    label = f"Histogram of {title}, {plural(spread.values, 'value')}"
    picture = histogram(shown, spread.limits, label, title.replace(" ", "-"))
    listed = element("ul", "".join(element("li", note) for note in notes)) if notes else ""
    return element("div", f"{element('h4', text(title))}{picture}{below}{listed}", "card")


def duplicates(facts: Facts) -> str:
    """Return what each deduplicating stage removed; near-duplicates beside what was kept instead."""
    if not facts.copies and not facts.elsewhere:
        return ""
    parts = ['<h2 id="duplicates">Duplicates</h2>']
    parts += [_exact(one, facts) if one.limit is None else _near(one, one.limit, facts) for one in facts.copies]
    for stage in sorted(set(facts.elsewhere) - {one.stage for one in facts.copies}):
        parts.append(f"<h3>{text(facts.stages[stage][0])} <small>{_elsewhere(stage, facts)}</small></h3>")
    return "".join(parts)


def _heading(one: Copies, facts: Facts, said: str) -> str:
    also = _elsewhere(one.stage, facts)
    return f"<h3>{text(facts.stages[one.stage][0])} <small>{'; '.join(filter(None, [said, also]))}</small></h3>"


def _elsewhere(stage: int, facts: Facts) -> str:
    """Say how many documents a stage removed for one of another run."""
    number = facts.elsewhere.get(stage, 0)
    return f"{plural(number, 'document')} removed for one of another run" if number else ""


def _exact(one: Copies, facts: Facts) -> str:
    most = one.clusters[0]
    column = str(facts.stages[one.stage][1].get("column", "text"))
    if column != "text":
        removed, kept = (plural(number, "document") for number in (one.removed, one.witnesses))
        return _heading(one, facts, f"{removed} removed, of the same {text(column)} as one of {kept} that stayed")
    said = f"{plural(one.removed, 'copy').replace('copys', 'copies')} of {plural(one.witnesses, 'text')} removed"
    opening = " ".join(word for run in most.left for word in run.words)
    return _heading(one, facts, said) + (
        f"<p>The text with most copies lost {count(one.largest)} of them; one is kept, {who(most.kept)}:</p>"
        f'<div class="excerpt" dir="auto">{text(opening, 300) or "<i>(an empty text)</i>"}</div>'
    )


def _near(one: Copies, limit: Limit, facts: Facts) -> str:
    documents = plural(one.removed, "document")
    said = f"{documents} removed, each for one of {plural(one.witnesses, 'document')} that stayed in its place"
    measure = "cosine" if one.reason == "semantic_duplicate" else "Jaccard"
    note = f"{measure}, at least {value(limit.value)} to be removed"
    drawn = card("similarity to the witness", one.similarity, [note])
    parts = [_heading(one, facts, said), element("div", drawn, "cards")]
    if one.pairs:
        parts.append(
            "<h3>Borderline pairs <small>the least similar of those removed: are they copies?</small></h3>"
            + "".join(_pair(pair) for pair in one.pairs)
        )
    if one.clusters:
        parts.append(
            "<h3>Largest clusters <small>beside the removed document least like the kept one</small></h3>"
            + "".join(_pair(pair) for pair in one.clusters)
        )
    return "".join(parts)


def who(document: Mapping[str, Any]) -> str:
    """Name a document by doc_id, id and URL; as text, for no link of a crawl is to be trusted."""
    known = [named(document[name]) for name in ("id", "url") if document.get(name)]
    return " · ".join([f"<b>{document['doc_id']}</b>", *known])


def _pair(pair: Pair) -> str:
    head = f"similarity <b>{pair.similarity:.3f}</b>"
    if pair.removed > 1:
        head += f" – {count(pair.removed)} documents removed for this witness"
    parts = [f'<article class="pair"><header>{head}</header><div class="sides">']
    for kind, title, document, runs in (
        ("left", "Kept", pair.kept, pair.left),
        ("right", "Removed", pair.gone, pair.right),
    ):
        words = " ".join(_run(run) for run in runs) or "<i>(no words)</i>"
        parts.append(f'<div class="{kind}"><h5>{title} {who(document)}</h5><p dir="auto">{words}</p></div>')
    parts.append("</div>")
    if pair.removed > 1:
        listed = "; ".join(f"{named(m['id'] or m['doc_id'])} {m['similarity']:.3f}" for m in pair.members)
        more = f"; and {count(pair.removed - len(pair.members))} more" if pair.removed > len(pair.members) else ""
        parts.append(f"<footer>Removed, by similarity: {listed}{more}</footer>")
    parts.append("</article>")
    return "".join(parts)


def _run(run: Run) -> str:
    if run.kind == "gap":
        return f'<span class="gap">… {plural(run.count, "word")} …</span>'
    words = " ".join(text(word, WORD) for word in run.words)
    return element("mark", words) if run.kind == "only" else words
