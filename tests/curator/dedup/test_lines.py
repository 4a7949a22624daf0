"""Lines and paragraphs that repeat: which go, which stay, and where the evidence lies."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline, kernels
from curator.cluster import open_cluster
from curator.dedup.lines import LineDedup
from curator.errors import ColumnError, SpecError
from curator.report import write_report
from curator.run.corpus import Corpus, Sketches
from curator.run.folder import RunFolder
from curator.why import why
from millrace import tables
from millrace.progress import Progress
from tests.corpus import write_parts


def rows(folder, kind) -> list[dict]:
    return [row for file in sorted((folder / "run" / kind).iterdir()) for row in pq.read_table(file).to_pylist()]


def run(folder, texts, parts, *stages):
    """Return {number: text} of what is kept, and the signals by number."""
    records = [{"id": str(i), "text": text, "url": f"http://e.org/{i}"} for i, text in enumerate(texts)]
    Pipeline([curator.ReadJsonl(write_parts(folder / "in", records, parts)), *stages]).run(
        str(folder / "run"), workers=0
    )
    number = {row["doc_id"]: int(row["id"]) for kind in ("documents", "ledger") for row in rows(folder, kind)}
    signals = {number[row["doc_id"]]: row for row in rows(folder, "signals")}
    return {int(row["id"]): row["text"] for row in rows(folder, "documents")}, signals


def oracle(texts: list[str], stage: LineDedup) -> list[str]:
    """The rule in plain Python, for lines in their `space` form."""
    lines = [text.splitlines(keepends=True) for text in texts]
    forms = [[" ".join(line.split()) for line in own] for own in lines]
    counts = [{f for f in own if len(f.replace(" ", "")) >= stage.min_characters} for own in forms]
    holders: dict[str, list[int]] = {}
    for number, own in enumerate(counts):
        for form in own:
            holders.setdefault(form, []).append(number)
    found = []
    for number, (own, keys) in enumerate(zip(lines, forms)):
        kept = []
        for place, (line, form) in enumerate(zip(own, keys)):
            repeats = form in counts[number] and form in keys[:place]
            many = stage.scope == "corpus" and len(holders.get(form, [])) > stage.max_copies
            stays = stage.keep == "first" and form in counts[number] and holders[form][0] == number
            if not repeats and not (many and not stays):
                kept.append(line)
        found.append("".join(kept))
    return found


STAGES = [
    LineDedup(min_characters=2),
    LineDedup(min_characters=1, max_copies=3),
    LineDedup(min_characters=2, max_copies=2, keep="none"),
    LineDedup(min_characters=3, scope="document"),
]


@pytest.mark.parametrize("parts", [1, 5])
@pytest.mark.parametrize("stage", STAGES, ids=str)
def test_against_plain_python(tmp_path, stage, parts):
    rng = random.Random(str(stage))
    lines = ["a", "bb", "c  c", "ddd", "é é é", "中文字", "", " "]
    lines += [f"line {i}" for i in range(60)]
    ends = ["\n", "\n", "\r\n"]
    texts = ["".join(rng.choice(lines) + rng.choice(ends) for _ in range(rng.randint(0, 12))) for _ in range(60)]
    texts = [text + rng.choice(["", "no newline", "bb"]) for text in texts]
    kept, _ = run(tmp_path, texts, parts, stage)
    wanted = oracle(texts, stage)
    left = {i: text for i, text in enumerate(wanted) if text.strip() or text == texts[i]}
    assert kept == left
    gone = {int(row["id"]): row["reason"] for row in rows(tmp_path, "ledger")}
    assert gone == {i: "nothing_left" for i in range(len(texts)) if i not in left}
    assert gone or stage.scope == "document"


def test_the_evidence_of_every_cut(tmp_path):
    line = "a line that is long enough\n"
    kept, signals = run(tmp_path, [f"one\n{line}{line}", f"two\n{line}", f"{line}three"], 3, LineDedup())
    assert kept == {0: f"one\n{line}", 1: "two\n", 2: "three"}
    said = [[signals[i][f"line_cut_{name}"] for name in ("starts", "stops", "witnesses", "copies")] for i in range(3)]
    assert said == [
        [[31], [58], [0], [2]],  # its own repeat: this document holds it twice
        [[4], [31], [0], [3]],  # three documents hold it
        [[0], [27], [0], [3]],
    ]


def test_lines_that_none_keeps_have_no_witness(tmp_path):
    line = "cookies are good for you\n"
    kept, signals = run(tmp_path, [f"{line}{i}" for i in range(3)], 2, LineDedup(max_copies=2, keep="none"))
    assert kept == {0: "0", 1: "1", 2: "2"}
    assert [signals[i]["line_cut_witnesses"] for i in range(3)] == [[None]] * 3


def test_a_document_of_which_nothing_is_left_names_the_one_witness(tmp_path):
    one, two = "the first of two long lines\n", "the second of two long lines\n"
    texts = [one + "x", two + "y", one, one + two, one + one]
    run(tmp_path, texts, 2, LineDedup())
    ledger = {row["id"]: row for row in rows(tmp_path, "ledger")}
    assert {i: (row["stage"], row["reason"], row["witness"]) for i, row in ledger.items()} == {
        "2": ("LineDedup", "nothing_left", 0), "3": ("LineDedup", "nothing_left", None),
        "4": ("LineDedup", "nothing_left", 0),
    }  # fmt: skip
    fate = why(RunFolder(str(tmp_path / "run")), "2")[0]
    assert [step.document["id"] for step in fate.chain] == ["0"]
    write_report(str(tmp_path / "run"))
    assert "nothing_left" in (tmp_path / "run/report.html").read_text()


def test_a_document_that_loses_too_much_goes(tmp_path):
    line = "a line that is long enough\n"
    kept, _ = run(tmp_path, [line, line + "x" * 26, line + "y" * 28], 1, LineDedup(max_cut=0.5))
    assert sorted(kept) == [0, 2]
    assert rows(tmp_path, "ledger")[0]["reason"] == "mostly_cut"
    assert rows(tmp_path, "ledger")[0]["threshold"] == 0.5


def test_paragraphs(tmp_path):
    said = "a paragraph of some length\nthat goes over two lines"
    texts = [f"{said}\n\nrest one\n", f"head\n\n{said.replace(chr(10), ' ')}\n \n\nrest two", f"{said}\nand three"]
    kept, signals = run(tmp_path, texts, 2, curator.ParagraphDedup())
    assert kept == {0: texts[0], 1: "head\n\nrest two", 2: texts[2]}
    assert signals[1]["paragraph_cut_witnesses"] == [0]


def test_words_do_not_mind_case_and_punctuation(tmp_path):
    texts = ["Read more about this topic!\n1", "read more, about THIS topic\n2"]
    assert run(tmp_path / "w", texts, 1, LineDedup(normalise="words"))[0] == {0: texts[0], 1: "2"}
    assert run(tmp_path / "s", texts, 1, LineDedup())[0] == {0: texts[0], 1: texts[1]}


def test_documents_dropped_before_keep_nothing(tmp_path):
    line = "a line that is long enough\n"
    texts = [line, line, f"{line}and more words than the others have"]
    kept, _ = run(tmp_path, texts, 3, curator.ExactDedup(), LineDedup())
    assert kept == {0: line, 2: "and more words than the others have"}
    kept, _ = run(tmp_path / "2", texts, 3, curator.GopherQuality(min_words=8, min_stop_words=0), LineDedup())
    assert kept == {2: texts[2]}


def test_a_document_that_falls_here_is_no_later_witness(tmp_path):
    """Document 1 loses all its text; that of the same URL stays."""
    line = "a line that is long enough\n"
    records = [("u", line), ("v", line), ("v", "a text of its own")]
    made = [{"id": str(i), "url": url, "text": text} for i, (url, text) in enumerate(records)]
    reader = curator.ReadJsonl(write_parts(tmp_path / "in", made, 2))
    Pipeline([reader, LineDedup(), curator.ExactDedup(column="url")]).run(str(tmp_path / "run"), workers=0)
    assert [row["id"] for row in rows(tmp_path, "documents")] == ["0", "2"]


def test_signals_of_several_passes_stand_side_by_side(tmp_path):
    line, said = "a line that is long enough\n", "a paragraph that is as long as paragraphs have to be\nto count as one"
    texts = [f"{line}\n{said}", f"{said}\n\n{line}", "copy", "copy", f"{line}more"]
    stages = [curator.ExactDedup(), curator.ParagraphDedup(), curator.FixUnicode(), LineDedup()]
    kept, signals = run(tmp_path, texts, 2, *stages)
    assert kept == {0: texts[0], 2: "copy", 4: "more"}
    names = ("paragraph_cut_starts", "paragraph_cut_witnesses", "line_cut_starts", "line_cut_witnesses")
    assert {i: [row[name] for name in names] for i, row in signals.items()} == {
        0: [[], [], [], []], 1: [[0], [0], [0], [0]], 2: [[], [], [], []],
        3: [[], [], None, None], 4: [[], [], [0], [0]],
    }  # fmt: skip


def test_empty_corpus_and_texts(tmp_path):
    assert run(tmp_path, ["", "", " \n"], 2, LineDedup())[0] == {0: "", 1: "", 2: " \n"}
    (tmp_path / "none.jsonl").write_text("")
    result = Pipeline([curator.ReadJsonl(str(tmp_path / "none.jsonl")), LineDedup()]).run(
        str(tmp_path / "empty"), workers=0
    )
    assert result.documents == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"min_characters": 0}, "LineDedup.min_characters is 0; it must be at least 1"),
        ({"max_copies": 0}, "LineDedup.max_copies is 0"),
        ({"max_cut": 1.1}, "LineDedup.max_cut is 1.1; it must be from 0 to 1"),
        ({"scope": "document", "keep": "none"}, "max_copies and keep are about the corpus"),
    ],
)
def test_settings_that_make_no_sense(settings, words):
    with pytest.raises(SpecError, match=words):
        LineDedup(**settings)


def test_two_stages_that_would_write_the_same_signals_are_refused():
    read = curator.ReadJsonl("x")
    Pipeline([read, LineDedup(), curator.ParagraphDedup()])
    with pytest.raises(ColumnError, match="LineDedup measures line_cut_starts, which LineDedup measures too"):
        Pipeline([read, LineDedup(), curator.FixUnicode(), LineDedup()])


def fit(tmp_path, sketched: list[pa.Table], stage: LineDedup) -> list[dict]:
    """Fit on made sketches, a table a part; return the cuts."""
    folder = RunFolder(str(tmp_path / "run"))
    for part, table in enumerate(sketched):
        tables.write_table(folder.path("work/sketch", f"part-{part:05d}.arrow"), table)
    alive = Sketches(folder, "work/sketch", dict(stage.sketches), "work/documents")
    sizes = tuple(len(table) for table in sketched)
    with open_cluster(0, None, "cpu") as cluster:
        corpus = Corpus(
            tuple(range(len(sketched))), sizes, ("s",) * len(sketched), alive, folder.path("scratch"), cluster,
            "cpu", Progress(True),
        )  # fmt: skip
        stage.fit(corpus, folder.path("fit"))
    return [pq.read_table(file) for file in sorted((tmp_path / "run/fit").iterdir())]


def sketch(part: int, hashes: list[np.ndarray]) -> pa.Table:
    bounds = np.cumsum([0, *map(len, hashes)])
    flat = np.concatenate(hashes).astype(np.uint64)
    place = np.concatenate([np.arange(len(own)) for own in hashes]).astype(np.uint32)
    ids = (np.uint64(part) << np.uint64(32)) + np.arange(len(hashes), dtype=np.uint64)
    lists = [pa.LargeListArray.from_arrays(bounds, pa.array(c)) for c in (flat, place * 2, place * 2 + 1)]
    return pa.table([ids, *lists], names=["doc_id", "hashes", "starts", "stops"])


def test_a_million_equal_documents(tmp_path):
    parts = [sketch(part, [np.array([2**63, 5])] * 250_000) for part in range(4)]
    cuts = pa.concat_tables(fit(tmp_path, parts, LineDedup()))
    assert len(cuts) == 2 * 999_999
    assert set(cuts["witness"].unique().to_pylist()) == {0}
    assert set(cuts["copies"].unique().to_pylist()) == {1_000_000}
    assert cuts["doc_id"].to_numpy().min() == 1


def test_many_ranges_and_parts_agree_with_one(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    words = rng.integers(0, 2**64, 300, dtype=np.uint64)
    parts = [sketch(p, [rng.choice(words, rng.integers(0, 9)) for _ in range(50)]) for p in range(6)]
    one = pa.concat_tables(fit(tmp_path / "one", parts, LineDedup(max_copies=2)))
    real = Corpus.groups
    monkeypatch.setattr(Corpus, "groups", lambda self, rows=80: real(self, rows))
    monkeypatch.setattr(Corpus, "exchange", lambda self, name, rows, _real=Corpus.exchange: _real(self, name, rows, 50))
    many = pa.concat_tables(fit(tmp_path / "many", parts, LineDedup(max_copies=2)))
    assert len(one) > 500
    assert many.equals(one)


def test_line_sketches_are_small():
    text = "some words of a line that is as long as they are on the web, about a hundred characters of it\n" * 50
    frame = pa.table({"text": pa.array([text], pa.large_string())}).to_pandas()
    lists = kernels.line_hashes(frame["text"], False, "space", 20)
    assert sum(pa.array(lists[name], from_pandas=True).values.nbytes for name in lists) == 16 * 50
