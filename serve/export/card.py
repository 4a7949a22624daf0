"""The model card of an export: what the model is, how it was made, from what, and what the export's test found."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping

from millrace import __version__, storage
from serve.export.format import Format, Verdict
from serve.export.lineage import Step, lineage
from serve.export.source import Source


def card(source: Source, target: Format, verdict: Verdict) -> str:
    """Return README.md: front matter as the Hub reads it, then what is known; what is not known is left out."""
    kind = "reward" if source.outputs else "language"
    numbers = sum(math.prod(shape) for shape in source.shapes.values())
    name = storage.absolute(source.run or source.name).rpartition("/")[2]
    steps = list(lineage(source.run))
    lines = [
        "---", *([f"library_name: {target.library}"] if target.library else []),
        f"pipeline_tag: {'text-classification' if source.outputs else 'text-generation'}",
        "tags:", "- millrace", f"- {source.family}", "---", "", f"# {name}", "",
        f"A {source.family} {kind} model, {numbers:,} parameters, as `{target.name}` by millrace {__version__}.",
        "", "## Shape", "", *_table(_shape(source)),
    ]  # fmt: skip
    for step in steps:
        lines += ["", f"## {step.title}", "", *_table(step.facts), *_data(step)]
    lines += ["", "## This export", "", *_table(_export(source, target, verdict))]
    lines += [f"\n{note}" for note in verdict.notes]
    return "\n".join(lines) + "\n"


def _shape(source: Source) -> dict[str, str]:
    model = source.model
    facts = {
        "layers": model.layers, "hidden size": model.hidden_size, "heads": model.heads, "key heads": model.key_heads,
        "feed-forward size": model.ffn_size, "vocabulary": model.vocab_size, "positions": model.positions,
        "experts": model.experts and f"{model.experts}, {model.experts_per_token} a token",
        "scores": source.outputs or None,
    }  # fmt: skip
    return {name: f"{value:,}" if isinstance(value, int) else str(value) for name, value in facts.items() if value}


def _export(source: Source, target: Format, verdict: Verdict) -> dict[str, str]:
    settings = dataclasses.asdict(target)  # type: ignore[call-overload]
    facts = {"source's numbers": source.dtype} | {name: str(value) for name, value in settings.items() if value != ""}
    if verdict.cosine is not None:
        facts["cosine of logits to the source's, at least"] = f"{verdict.cosine:.6f}"
    facts["largest relative difference of a tensor"] = f"{verdict.worst:.3g}"
    if verdict.scales:
        facts["scales"] = f"{verdict.scales[0]:.3g} to {verdict.scales[1]:.3g}"
    return facts


def _data(step: Step) -> Iterator[str]:
    if step.data:
        yield from ("", "Data:", "")
    for name, digest in step.data.items():
        yield f"* `{name}`" + (f": {digest}" if digest else "")


def _table(facts: Mapping[str, str]) -> Iterator[str]:
    yield from ("| | |", "| --- | --- |")
    for name, value in facts.items():
        yield f"| {name} | {value.replace('|', '/')} |"
