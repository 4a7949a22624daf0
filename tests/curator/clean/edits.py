"""What the tests of edits share: a batch of texts, what an edit did to each, and the law that nothing is lost."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from curator import frames
from curator.edit import Edit
from curator.schema import arrow_schema


def batch(texts: list[str | None]) -> Any:
    return frames.from_arrow(pa.table({"text": texts}).cast(arrow_schema({"text": "string"})))


def edited(stage: Edit, *texts: str | None) -> list[dict[str, Any]]:
    """Measure texts in one batch; check that what is kept and what was cut is each text, byte for byte."""
    rows = frames.to_arrow(stage.measure(batch(list(texts)))).to_pylist()
    for before, row in zip(texts, rows, strict=True):
        whole = (before or "").encode()
        starts, stops = row[f"{stage.name}_cut_starts"], row[f"{stage.name}_cut_stops"]
        assert all(start < stop for start, stop in zip(starts, stops))
        edges = [0, *(edge for span in zip(starts, stops) for edge in span), len(whole)]
        assert edges == sorted(edges)
        kept = b"".join(whole[a:b] for a, b in zip(edges[::2], edges[1::2]))
        assert row["text"] == (None if before is None else kept.decode())
        assert row[f"{stage.name}_cut_share"] == (len(whole) - len(kept)) / max(len(whole), 1)
    return rows


def left(stage: Edit, *texts: str | None) -> list[str | None]:
    """Return the texts as the edit leaves them."""
    return [row["text"] for row in edited(stage, *texts)]


def cuts(stage: Edit, text: str) -> list[tuple[str, str]]:
    """Return what was cut out of a text, each with its kind."""
    (row,) = edited(stage, text)
    spans = zip(row[f"{stage.name}_cut_starts"], row[f"{stage.name}_cut_stops"], row[f"{stage.name}_cut_kinds"])
    return [(text.encode()[start:stop].decode(), kind) for start, stop, kind in spans]
