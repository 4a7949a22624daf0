"""The section on what edits cut out of texts."""

from __future__ import annotations

from curator.run.edits import Amount, Cuts
from millrace.markup import bytes_, count, row, share, text

KINDS = 30  # of one edit, those of most bytes


def edits(found: list[Cuts]) -> str:
    """Return a table of what each edit cut or replaced, by kinds of spans."""
    if not found:
        return ""
    head = row(
        [("Edit", ""), ("Kind", ""), ("Documents", "n"), ("Of those seen", "n"), ("Spans", "n"), ("Text", "n")], "th"
    )
    rows = []
    for one in found:
        rows.append(_line(f"<b>{text(one.name)}</b>", "", one.whole, one.measured))
        ranked = sorted(one.kinds.items(), key=lambda item: (-item[1].bytes, item[0]))
        rows += [_line("", text(kind, 100), amount, one.measured) for kind, amount in ranked[:KINDS]]
        if len(ranked) > KINDS:
            rows.append(row([("", ""), (f"and {count(len(ranked) - KINDS)} more kinds", ""), *[("", "n")] * 4]))
    return (
        '<h2 id="edits">What edits cut <small>or replaced, of all documents they met</small></h2><div class="wide">'
        f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _line(name: str, kind: str, amount: Amount, measured: int) -> str:
    numbers = (count(amount.documents), share(amount.documents, measured), count(amount.spans), bytes_(amount.bytes))
    return row([(name, ""), (kind, ""), *((number, "n") for number in numbers)])
