"""What of benchmarks was found in the corpus, and where."""

from __future__ import annotations

from typing import Any

from curator.report.charts import bar
from curator.run.folder import RunFolder
from millrace import storage
from millrace.markup import count, named, plural, row, share, text

PLACE = ("contamination", "contamination.json")
WORST = 5  # items shown of a benchmark; the file names more


def found(folder: RunFolder) -> dict[str, Any] | None:
    """Return what a stage that looked for benchmarks published, None where there was none."""
    url = folder.path(*PLACE)
    return dict(storage.read_json(url)) if storage.exists(url) else None


def section(said: dict[str, Any] | None) -> str:
    """Return the section of the report, or nothing where no benchmark was looked for."""
    if said is None:
        return ""
    head = [("Benchmark", ""), ("Items found", "n"), ("", "b"), ("of all", "n"), ("Too short to look for", "n"),
            ("n-grams found", "n"), ("too common", "n"), ("Documents", "n")]  # fmt: skip
    rows = [_benchmark(one) for one in said["benchmarks"]]
    worst = "".join(_worst(one) for one in said["benchmarks"])
    limit = said["max_documents"]
    rule = f"n-grams of {said['ngram']} words, shorter items from {said['min_ngram']} words as a whole"
    rule += f"; those in more than {plural(limit, 'document')} are taken for common" if limit is not None else ""
    table = f'<table class="reasons"><thead>{row(head, "th")}</thead><tbody>{"".join(rows)}</tbody></table>'
    title = f'<h2 id="contamination">Contamination <small>{rule}</small></h2>'
    return f'{title}<div class="wide">{table}</div>{worst}'


def _benchmark(one: dict[str, Any]) -> str:
    return row(
        [
            (text(one["benchmark"], 100), "s"),
            (f"{count(one['items_found'])} of {count(one['items'])}", "n"),
            (bar(one["items_found"], max(one["items"], 1), "out"), "b"),
            (share(one["items_found"], one["items"]), "n"),
            (count(one["items_too_short"]), "n"),
            (f"{count(one['ngrams_found'])} of {count(one['ngrams'])}", "n"),
            (count(one["ngrams_common"]), "n"),
            (count(one["documents"]), "n"),
        ]
    )


def _worst(one: dict[str, Any]) -> str:
    shown = "".join(
        f'<div class="example"><div class="who">{named(item["item"])} · {count(item["found"])} of '
        f"{plural(item['ngrams'], 'n-gram')} in document {item['doc_id']} · in "
        f'{plural(item["documents"], "document")}</div><div class="excerpt" dir="auto">{text(item["text"])}</div></div>'
        for item in one["worst"][:WORST]
    )
    return f"<h3>{text(one['benchmark'], 100)} <small>items found most of</small></h3>{shown}" if shown else ""
