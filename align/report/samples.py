"""Completions side by side: what the model said before, what it says now, and what that earned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from align.report.gather import Facts
from millrace.markup import count, element, plural, row, text, value

STEPS, ROWS, SHOWN = 40, 16, 2000  # steps, completions of a step, and characters of each that a page holds


def section(facts: Facts) -> str:
    """Return the section of samples, a table a step of which one is seen at a time; empty where there are none.

    Before is the completion of the same prompt at step 0, or what the record itself says it replaced.
    """
    steps = [step for step in facts.samples if step > 0 or len(facts.samples) == 1]
    if not steps:
        return ""
    first = {str(one.get("prompt_id")): str(one.get("text", "")) for one in facts.samples.get(0, [])}
    shown = spread(steps, STEPS)
    tables = [_table(step, facts.samples[step], first, step == shown[-1]) for step in shown]
    options = "".join(
        f'<option value="{step}"{" selected" if step == shown[-1] else ""}>{count(step)}</option>' for step in shown
    )
    pager = (
        '<p class="pager"><button type="button" data-move="-1">Earlier</button>'
        f"<label>after step <select>{options}</select></label>"
        '<button type="button" data-move="1" disabled>Later</button></p>'
    )
    left_out = f"; {count(len(shown))} of them are shown, all are in samples.jsonl" if len(shown) < len(steps) else ""
    return (
        f'<h2 id="samples">Samples <small>of {plural(len(steps), "step")}{left_out}</small></h2>'
        f'<div class="samples">{pager}{"".join(tables)}</div>'
    )


def spread(steps: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of the steps, the first and the last among them, evenly between."""
    if len(steps) <= most:
        return list(steps)
    places = {round(n * (len(steps) - 1) / (most - 1)) for n in range(most)}
    return [steps[place] for place in sorted(places)]


def _table(step: int, samples: Sequence[dict[str, Any]], first: dict[str, str], seen: bool) -> str:
    ordered = sorted(samples, key=lambda one: str(one.get("prompt_id")) not in first)  # watched prompts above
    rows = "".join(
        _row(one, str(one.get("before") or first.get(str(one.get("prompt_id")), ""))) for one in ordered[:ROWS]
    )
    head = row([("Prompt", ""), ("Before", ""), ("After", ""), ("Reward", "n")], "th")
    more = f"{plural(len(samples) - ROWS, 'more completion')} in samples.jsonl" if len(samples) > ROWS else ""
    hidden = "" if seen else " hidden"
    return (
        f'<div data-step="{step}"{hidden}><table><thead>{head}</thead><tbody>{rows}</tbody></table>'
        f"{element('p', more, 'note') if more else ''}</div>"
    )


def _row(sample: dict[str, Any], before: str) -> str:
    prompt = _quoted(str(sample.get("prompt", ""))) + element("small", text(sample.get("prompt_id", ""), 60))
    was = _quoted(before) if before else '<span class="soft">–</span>'
    length = int(sample.get("length") or 0)
    ended = "" if sample.get("finished", True) else ", cut at the limit"
    now = _quoted(str(sample.get("text", ""))) + element("small", f"{plural(length, 'token')}{ended}")
    parts = sample.get("rewards") or {}
    named = "<br>".join(f"{text(name, 60)} {_number(part)}" for name, part in parts.items()) if len(parts) > 1 else ""
    return row([(prompt, ""), (was, "before"), (now, "after"), (f"<b>{_number(sample.get('reward'))}</b>"
                + (element("small", named) if named else ""), "n")])  # fmt: skip


def _quoted(said: str) -> str:
    return f'<div class="quoted" dir="auto">{text(said, SHOWN)}</div>'


def _number(given: Any) -> str:
    if given is None:
        return "–"
    number = float(given)
    return value(number) if math.isfinite(number) else "not finite"
