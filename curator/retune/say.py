"""A retuned run in words, for a terminal."""

from __future__ import annotations

import yaml

from curator.retune.borderline import Borderline
from curator.retune.retune import Retuned

TOGETHER = "all rules together"


def say(retuned: Retuned) -> str:
    """Return what the settings would change, a table of the rules, examples, and the command that applies them."""
    lines = [f"{decider.name}.{field}: {_plain(old)} -> {_plain(new)}" for decider, field, old, new in retuned.changes]
    lines += ["", *_amounts(retuned), "", *_rules(retuned)]
    for border in retuned.borderline:
        lines += ["", *_border(border, retuned)]
    if retuned.changes:
        lines += ["", _apply(retuned)]
    else:
        lines += ["", f"can be set: {retuned.before.may_be_set()}"]
    return "\n".join(lines).strip("\n")


def _plain(value: object) -> str:
    said = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**6)
    return str(said).removesuffix("...\n").strip()


def _amounts(retuned: Retuned) -> list[str]:
    was, now, open_ = retuned.was.kept, retuned.now.kept, retuned.now.unknown
    lines = [f"{'kept':<12}{'before':>16}{'after':>16}{'change':>16}"]
    units = ["documents", "characters", *(["tokens"] if retuned.ratio is not None else [])]
    for unit in units:
        old, new = getattr(was, unit), getattr(now, unit)
        note = "  estimated for documents that the run dropped" if unit == "tokens" and retuned.newly_kept else ""
        lines.append(f"{unit:<12}{old:>16,}{new:>16,}{new - old:>+16,}{note}")
    lines.append(f"newly kept {retuned.newly_kept:,}, newly dropped {retuned.newly_dropped:,}")
    if open_.documents:
        lines.append(
            f"from {now.documents:,} to {now.documents + open_.documents:,} kept: {open_.documents:,} documents pass "
            "now, but filters follow that never measured them; only a run tells"
        )
    if retuned.estimate:
        lines.append(
            f"estimate: exact up to {retuned.estimate}, which is not done again: newly kept documents may be "
            "duplicates there, and copies of newly dropped ones may stay"
        )
    return lines


def _rules(retuned: Retuned) -> list[str]:
    """One line a rule: dropped by it first, beyond its limit at all, dropped by it alone."""
    width = max(len(said) for said in (TOGETHER, *(reason.said for reason in retuned.after.reasons))) + 2
    changed = bool(retuned.changes)
    lines = [
        f"{'rule':<{width}}{'dropped':>12}{'beyond':>12}{'only this':>12}" + (f"{'before':>12}" if changed else "")
    ]
    old = {reason.said: number for number, reason in enumerate(retuned.before.reasons)}
    for number, reason in enumerate(retuned.after.reasons):
        now = retuned.now
        line = (
            f"{reason.said:<{width}}{now.dropped[number]:>12,}{now.beyond[number, number]:>12,}{now.only[number]:>12,}"
        )
        was = retuned.was.dropped[old[reason.said]] if reason.said in old else 0
        lines.append(line + (f"{was:>12,}" if changed else ""))
    last = f"{TOGETHER:<{width}}{retuned.now.dropped.sum():>12,}{retuned.now.joint:>12,}{'':>12}"
    return [*lines, last + (f"{retuned.was.dropped.sum():>12,}" if changed else "")]


def _border(border: Borderline, retuned: Retuned) -> list[str]:
    rule = border.reason.rule
    assert rule is not None
    limit = getattr(border.reason.decider.stage, rule.limit)
    lines = [f"nearest to {border.reason.decider.name}.{rule.limit}={_plain(limit)}, hanging on it alone:"]
    for side, found in (("kept", border.passing), ("dropped", border.falling)):
        for value, doc_id in found:
            id_, text = retuned.texts.get(doc_id, ("", None))
            shown = "(its text is not in the run any more)" if text is None else text[:100]
            lines.append(f"  {side:<8} {value:<10.6g} {' '.join(filter(None, [str(doc_id), id_]))}  {shown}")
    return lines if len(lines) > 1 else []


def _apply(retuned: Retuned) -> str:
    given = " ".join(f"--set {d.name}.{field}={_quoted(_plain(new))}" for d, field, _, new in retuned.changes)
    return (
        f"apply: millrace curate … --output {retuned.folder.url} {given}\n"
        "       (… stands for the recipe, input and settings of this run)"
    )


def _quoted(value: str) -> str:
    import shlex

    return shlex.quote(value)
