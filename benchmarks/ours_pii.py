"""Our side of the benchmark of personal data: WAY INPUT ANSWER, as `peer_pii` has it.

WAY is stage (RedactPii on batches, the edited text and all signals), or re: the same searches by Python's `re`
over all lines of all texts, with no sign by RE2 before.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from benchmarks.ours_library import WARM_UP, batches, timed
from curator import RedactPii, frames
from curator.clean.pii.entities import ENTITIES
from curator.clean.pii.find import Found, spans_of

NUMBERS = {entity.kind: number for number, entity in enumerate(ENTITIES)}


def stage(texts: pa.LargeStringArray) -> list[Found]:
    """Return the spans that RedactPii tells."""
    spans: list[Found] = []
    row = 0
    for batch in batches(texts):
        signals = frames.to_arrow(RedactPii().measure(frames.from_arrow(pa.table({"text": batch}))))
        columns = (signals[f"pii_cut_{name}"].to_pylist() for name in ("starts", "stops", "kinds"))
        for starts, stops, kinds in zip(*columns):
            spans += [(row, a, b, NUMBERS[kind]) for a, b, kind in zip(starts, stops, kinds)]
            row += 1
    return spans


def plain_re(texts: pa.LargeStringArray) -> list[Found]:
    """Return the spans of every line, searched for every entity; private keys over lines aside."""
    spans: list[Found] = []
    for row, text in enumerate(texts.cast(pa.large_binary()).to_pylist()):
        at = 0
        for line in text.split(b"\n"):
            spans += [(row, at + a, at + b, n) for a, b, n in spans_of(line, enumerate(ENTITIES))]
            at += len(line) + 1
    return spans


def main(way: str, source: str, answer: str) -> None:
    """Search all texts once and write what was found."""
    table = pq.read_table(source) if source.endswith(".parquet") else pa.json.read_json(source)
    texts = table["text"].cast(pa.large_string()).combine_chunks()
    call: Callable[[pa.LargeStringArray], list[Found]] = {"stage": stage, "re": plain_re}[way]
    call(texts.slice(0, WARM_UP))
    spans, cpu = timed(lambda: call(texts))
    named = [(row, start, stop, ENTITIES[number].kind) for row, start, stop, number in spans]
    Path(answer).write_text(json.dumps({"cpu": cpu, "spans": named}))


if __name__ == "__main__":
    main(*sys.argv[1:])
