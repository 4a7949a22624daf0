"""What edits cut: counted in the report, told by `why`, and decided again by `retune`."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow.parquet as pq
import pytest
from lxml import html

import curator
from curator import Pipeline, frames, why
from curator.edit import Edit, Spans
from curator.report import write_report
from curator.retune import retune
from curator.run.edits import cuts, of_document
from curator.run.folder import RunFolder
from tests.corpus import documents, write_parts

SPAN = re.compile(rb"[0-9]+|<[^>]*>")


@dataclass(frozen=True)
class CutDigits(Edit):
    """Cut numbers and tags."""

    max_cut: float = 0.5
    min_characters: int = 1

    name: ClassVar = "digits"

    def spans(self, frame: Any) -> Spans:
        found = [
            list(SPAN.finditer((text or "").encode())) for text in frames.column_to_arrow(frame["text"]).to_pylist()
        ]
        flat = [match for one in found for match in one]
        first = np.append(0, np.cumsum([len(one) for one in found])).astype(np.int64)
        starts, stops = (np.array([m.span()[i] for m in flat], np.int64) for i in (0, 1))
        return Spans(first, starts, stops, {"kinds": ["tag" if m[0][:1] == b"<" else "number" for m in flat]})


def made() -> list[dict]:
    records = documents(90, seed=2)
    for number, record in enumerate(records):
        if number % 3 == 0:
            record["text"] = f"<p class='é'>12 {record['text']} 345" + "7" * (number * 40)
    return records


@pytest.fixture
def public(monkeypatch):
    """The stage among those that run.json can name."""
    monkeypatch.setattr(curator, "__all__", [*curator.__all__, "CutDigits"])
    monkeypatch.setattr(curator, "CutDigits", CutDigits, raising=False)


def run(place, name, *stages) -> RunFolder:
    path = write_parts(place / "in", made(), 2)
    return RunFolder(Pipeline([curator.ReadJsonl(path), *stages]).run(str(place / name), workers=0).folder)


def test_cuts_are_counted_by_kind_and_shown(tmp_path):
    folder = run(tmp_path, "run", CutDigits(max_cut=1.0), curator.GopherQuality())
    spans = [(i, m) for i, r in enumerate(made()) for m in SPAN.finditer(r["text"].encode())]
    kinds = {"tag": [s for s in spans if s[1][0][:1] == b"<"], "number": [s for s in spans if s[1][0][:1] != b"<"]}
    (one,) = cuts(folder)
    assert (one.name, one.measured) == ("digits", 90)
    for amount, wanted in ((one.whole, spans), *((one.kinds[k], kinds[k]) for k in kinds)):
        assert amount.spans == len(wanted) > 0
        assert amount.documents == len({i for i, _ in wanted})
        assert amount.bytes == sum(len(m[0]) for _, m in wanted)
    with open(write_report(folder.url), encoding="utf-8") as file:  # noqa: PTH123
        tree = html.fromstring(file.read())
    table = tree.xpath('//h2[@id="edits"]/following-sibling::div[1]//tr')
    shown = {line[1].text_content() or line[0].text_content(): line for line in table[1:]}
    assert int(shown["number"][4].text_content().replace(",", "")) == len(kinds["number"])
    assert set(shown) == {"digits", "number", "tag"}


def test_why_tells_what_was_cut_from_a_document_kept_or_dropped(tmp_path):
    folder = run(tmp_path, "run", CutDigits(max_cut=0.5), curator.GopherQuality())
    told = Counter()
    for record in made():
        (fate,) = why.why(folder, record["id"])
        found = dict(of_document(folder, fate.document["doc_id"]))
        wanted = [m.span() for m in SPAN.finditer(record["text"].encode())]
        assert [(s["starts"], s["stops"]) for s in found.get("digits", [])] == wanted
        said = why.say(fate)
        assert ("edited by digits" in said) == bool(wanted)
        if wanted:
            told[fate.row is None] += 1
            assert f"bytes {wanted[0][0]:,} to {wanted[0][1]:,}, kinds tag" in said
    assert told[True] > 0
    assert told[False] > 0


def test_spans_that_lines_were_cut_by_name_their_copies(tmp_path):
    records = [{"id": str(i), "text": f"once {i}\nthe same line in every text\nmore {i}", "url": ""} for i in range(6)]
    path = write_parts(tmp_path / "in", records, 2)
    stages = [curator.ReadJsonl(path), curator.LineDedup(min_characters=5, max_cut=1.0)]
    folder = RunFolder(Pipeline(stages).run(str(tmp_path / "run"), workers=0).folder)
    said = [why.say(why.why(folder, str(i))[0]) for i in range(6)]
    assert sum("edited by line: 1 span, " in one for one in said) == 5
    assert sum("copies 6" in one for one in said) == 5
    (one,) = cuts(folder)
    assert (one.whole.documents, one.whole.spans) == (5, 5)


def test_limits_of_an_edit_are_retuned_and_untouched_texts_stay(tmp_path, public):
    folder = run(tmp_path, "run", CutDigits(max_cut=0.2), curator.GopherRepetition())
    for setting, stage in (
        ("max_cut=0.05", CutDigits(max_cut=0.05)),
        ("max_cut=0.9", CutDigits(max_cut=0.9)),
        ("min_characters=2000", CutDigits(max_cut=0.2, min_characters=2000)),
    ):
        retuned = retune(folder, [f"CutDigits.{setting}"], str(tmp_path / "fates.parquet"))
        really = run(tmp_path, f"run-{setting}", stage, curator.GopherRepetition())
        files = [really.path("documents", f"part-0000{part}.parquet") for part in (0, 1)]
        kept = {i for file in files for i in pq.read_table(file)["id"].to_pylist()}
        fates = pq.read_table(tmp_path / "fates.parquet").to_pylist()
        assert all(fate["kept_after"] in (None, fate["id"] in kept) for fate in fates), setting
        unknown = sum(fate["kept_after"] is None for fate in fates)
        assert (retuned.now.unknown.documents, unknown > 0) == (unknown, setting == "max_cut=0.9")
        assert retuned.newly_kept + retuned.newly_dropped + unknown > 0, setting
