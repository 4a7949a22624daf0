"""Lines of a batch without a copy, and spans found in them, against plain Python."""

from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curator.clean.by_line import Lines, in_bytes
from tests.curator.clean.edits import batch

TEXTS = st.lists(st.one_of(st.none(), st.text(st.sampled_from("ab\n\r é中\0"), max_size=20)), max_size=6)


def lines_of(text: str | None) -> list[str]:
    return re.findall("[^\n]*\n|[^\n]+", text or "")


@given(TEXTS, st.integers(0, 3), st.booleans())
def test_lines_and_spans_against_plain_python(texts, skipped, some):
    """Every "a" is found in a slice of a batch, whether texts without one are looked at or not."""
    texts = ["é\na", *texts]
    frame = batch(texts).iloc[skipped:]
    lines = Lines.of(frame["text"], "^.*a" if some else "")
    wanted = texts[skipped:]
    looked_at = [text for text in wanted if "a" in (text or "") or not some]
    assert lines.strings().to_pylist() == [line for text in looked_at for line in lines_of(text)]
    assert np.diff(lines.first).tolist() == [len(lines_of(text)) for text in looked_at]
    starts, stops, kinds = lines.search(
        lines.matching("a"), lambda line: ((*match.span(), match.group()) for match in re.finditer("é?a+", line))
    )
    spans = lines.spans(starts[::-1], stops[::-1], kinds=kinds[::-1])  # in any order
    found = [
        [(text or "").encode()[a:b].decode() for a, b in zip(spans.starts[i:j].tolist(), spans.stops[i:j].tolist())]
        for text, i, j in zip(wanted, spans.first[:-1].tolist(), spans.first[1:].tolist(), strict=True)
    ]
    assert found == [re.findall("é?a+", text or "") for text in wanted]
    assert spans.evidence["kinds"].to_pylist() == [kind for each in found for kind in each]


@given(st.text("aé中\U0001f600", max_size=20), st.lists(st.integers(0, 20), max_size=8))
def test_spans_in_bytes(line, bounds):
    edges = sorted({min(bound, len(line)) for bound in bounds})
    spans = list(zip(edges[::2], edges[1::2]))
    found = in_bytes(line, [(start, stop, line[start:stop]) for start, stop in spans])
    assert [(line.encode()[a:b].decode(), what) for a, b, what in found] == [(line[a:b],) * 2 for a, b in spans]
