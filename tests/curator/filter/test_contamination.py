"""Decontamination against plain Python, in whole runs, and on what benchmarks and documents can be wrong with."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import curator
from curator import Pipeline, kernels
from curator.errors import InputError, SpecError
from curator.filter.benchmarks import listing, read_items
from curator.filter.contamination import Decontaminate, matches
from curator.filter.contamination_cuts import widened
from curator.fingerprint import of_sketch, of_stage
from curator.kernels.arrow import flatten
from curator.kernels.ngram_sets import collect, find
from curator.report import write_report
from curator.run.folder import RunFolder
from curator.why import why
from tests.corpus import prose, write_jsonl, write_parts

ITEMS = [
    {
        "question": "A miller grinds forty sacks of rye on Monday and half as many on each of the four days that "
        "follow. How many sacks does he grind in all?",
        "answer": "He grinds 40 + 4 * 20 = 120 sacks.",
    },
    {"question": "Which of the four rivers of the old map runs dry first?", "answer": "The salty one"},
    {"question": "Too short to ask?", "answer": "Yes"},
]


def words(text: str) -> list[tuple[str, int, int]]:
    """Words as the kernels take them; all of the tests' letters have a lower case of one code point."""
    return [
        (m[0].lower(), len(text[: m.start()].encode()), len(text[: m.end()].encode()))
        for m in re.finditer(r"\w+", text)
    ]


def wanted(items: list[tuple[str, ...]], length: int, width: int) -> set[tuple[str, ...]]:
    found = set()
    for texts in items:
        own = [w for w, _, _ in words("\n".join(texts))]
        head = [w for w, _, _ in words(texts[0])]
        size = min(len(own), length)
        if size >= width:
            found |= {tuple(own[i : i + size]) for i in range(len(own) - size + 1)}
        if width <= len(head) < length:
            found.add(tuple(head))
    return found


def oracle(text: str, ngrams: set[tuple[str, ...]]) -> set[tuple[str, int, int]]:
    own = words(text)
    return {
        (" ".join(gram), own[i][1], own[i + len(gram) - 1][2])
        for i in range(len(own))
        for gram in ngrams
        if tuple(w for w, _, _ in own[i : i + len(gram)]) == gram
    }


letters = st.text(st.sampled_from("aAbÉéß日_ 1"), max_size=4)
texts = st.lists(st.tuples(letters, st.sampled_from([" ", "  ", ", ", "\n", "."])), max_size=30).map(
    lambda pairs: "".join(a + b for a, b in pairs)
)


@given(st.lists(st.tuples(texts, texts), max_size=4), st.lists(texts, max_size=4), st.integers(1, 3), st.integers(0, 2))
def test_finds_what_plain_python_finds(items, documents, width, more):
    whole = pa.array(["\n".join(item) for item in items], pa.large_string())
    heads = np.array([len(item[0].encode()) for item in items], np.int64)
    ngrams = collect(*flatten(whole), heads, width + more, width)
    expected = wanted(items, width + more, width)
    assert {ngrams.text(g) for g in range(len(ngrams.keys))} == {" ".join(gram) for gram in expected}
    found = find(*flatten(pa.array(documents, pa.large_string())), ngrams)
    for number, text in enumerate(documents):
        mine = [(ngrams.text(g), a, b) for d, g, a, b in zip(*(c.tolist() for c in found)) if d == number]
        assert len(mine) == len(set(mine))
        assert set(mine) == oracle(text, expected)


def test_each_ngram_knows_all_its_items():
    shared = "one two three four five"
    items = [f"zero {shared}", shared, f"{shared} six", "seven eight nine ten"]
    ngrams = collect(*flatten(pa.array(items, pa.large_string())), np.zeros(4, np.int64), 4, 4)
    for number in range(len(ngrams.keys)):
        holders = [i for i, item in enumerate(items) if ngrams.text(number) in item]
        assert ngrams.occurrences(np.array([number]))[1].tolist() == holders


def run(folder, documents: list[str], items=ITEMS, **settings) -> dict:
    """Return {number: text} of what is kept, the ledger and signals by number, and contamination.json."""
    write_jsonl(folder / "benchmark.jsonl", items)
    records = [{"id": str(i), "text": text, "url": f"http://e.org/{i}"} for i, text in enumerate(documents)]
    reader = curator.ReadJsonl(write_parts(folder / "in", records, 3))
    stage = Decontaminate(str(folder / "benchmark.jsonl"), **settings)
    Pipeline([reader, stage]).run(str(folder / "run"), workers=0)
    read = {
        kind: [row for file in sorted((folder / "run" / kind).iterdir()) for row in pq.read_table(file).to_pylist()]
        for kind in ("documents", "ledger", "signals")
        if (folder / "run" / kind).is_dir()
    }
    number = {row["doc_id"]: int(row["id"]) for kind in ("documents", "ledger") for row in read[kind]}
    return {
        "kept": {int(row["id"]): row["text"] for row in read["documents"]},
        "ledger": {int(row["id"]): row for row in read["ledger"]},
        "signals": {number[row["doc_id"]]: row for row in read.get("signals", [])},
        "said": json.loads((folder / "run/contamination/contamination.json").read_text()),
        "number": number,
    }


def clean(seed: int, sentences: int = 30) -> str:
    return prose(random.Random(seed), sentences)


SHOUTED = re.sub(r"\W+", " -- ", ITEMS[0]["question"]).upper()


def test_drops_what_holds_an_item_and_names_item_and_ngram(tmp_path):
    planted = f"{clean(0)}\n{SHOUTED}\n{clean(1)}"
    half = clean(2) + " ".join(ITEMS[0]["question"].split()[3:16]) + "."
    found = run(tmp_path, [clean(3), planted, clean(4), half, ITEMS[1]["question"], ITEMS[2]["question"], ""])
    assert set(found["kept"]) == {0, 2, 5, 6}
    row = found["ledger"][1]
    assert (row["stage"], row["reason"]) == ("Decontaminate", "contaminated")
    assert row["value_text"] == "benchmark.jsonl:1: a miller grinds forty sacks of rye on monday and half as many"
    assert row["value"] == 29 - 13 + 1  # all n-grams of the question
    assert row["witness"] is None
    assert found["ledger"][3]["value"] == 1
    assert (
        found["ledger"][4]["value_text"] == "benchmark.jsonl:2: which of the four rivers of the old map runs dry first"
    )
    (fate,) = why(RunFolder(str(tmp_path / "run")), "1")
    assert "benchmark.jsonl:1" in fate.row["value_text"]


def test_says_what_of_a_benchmark_was_found(tmp_path):
    whole = "\n".join(ITEMS[0].values())
    found = run(tmp_path, [clean(3), f"{clean(0)} {SHOUTED}", whole, clean(5)])
    (said,) = found["said"]["benchmarks"]
    ngrams = len(words(whole)) - 12
    assert {k: v for k, v in said.items() if k.startswith(("items", "doc", "ngrams"))} == {
        "items": 3, "items_too_short": 1, "items_found": 1,
        "ngrams": ngrams + 4,  # of the second all its three, and its question
        "ngrams_found": ngrams, "ngrams_common": 0, "documents": 2,
    }  # fmt: skip
    (worst,) = said["worst"]
    assert (worst["item"], worst["ngrams"], worst["found"], worst["documents"]) == (
        "benchmark.jsonl:1",
        ngrams,
        ngrams,
        2,
    )
    assert found["number"][worst["doc_id"]] == 2
    page = write_report(str(tmp_path / "run"))
    shown = (tmp_path / "run" / "report.html").read_text()
    assert page
    assert "benchmark.jsonl:1" in shown
    assert 'id="contamination"' in shown


def test_the_name_of_a_benchmark_is_in_the_fingerprint_of_the_fit_but_not_of_the_sketch(tmp_path):
    path = write_jsonl(tmp_path / "items.jsonl", [{"text": "one two three"}])
    stages = [Decontaminate({name: str(path)}) for name in ("a", "b")]
    assert of_stage(stages[0]) != of_stage(stages[1])
    assert of_sketch(stages[0]) == of_sketch(stages[1])


def test_an_ngram_in_many_documents_is_no_evidence(tmp_path):
    documents = [f"{clean(i, 5)} {ITEMS[1]['question']}" for i in range(4)] + [f"{clean(9)} {ITEMS[0]['question']}"]
    found = run(tmp_path / "a", documents, max_documents=3)
    assert set(found["ledger"]) == {4}
    assert found["said"]["benchmarks"][0]["common"] == [
        {"ngram": "which of the four rivers of the old map runs dry first", "documents": 4}
    ]
    assert set(run(tmp_path / "b", documents, max_documents=4)["ledger"]) == {0, 1, 2, 3, 4}
    assert set(run(tmp_path / "c", documents, max_documents=None)["ledger"]) == {0, 1, 2, 3, 4}


def test_cuts_the_match_with_what_stands_around_it(tmp_path):
    before, after = clean(0), clean(1)
    found = run(tmp_path, [f"{before} {ITEMS[0]['question']} {after}", clean(2)], action="cut", window=50, min_piece=10)
    text, signals = found["kept"][0], found["signals"][0]
    whole = f"{before} {ITEMS[0]['question']} {after}"
    (start,), (stop,) = signals["contamination_cut_starts"], signals["contamination_cut_stops"]
    assert text == whole[:start] + whole[stop:]
    assert whole[start - 1] in ".!?\n"
    assert whole[stop - 1] in ".!?\n"
    at = whole.index(ITEMS[0]["question"])
    assert at - 50 - 200 < start <= at - 50
    assert at + len(ITEMS[0]["question"]) + 49 <= stop
    assert signals["contamination_cut_items"] == ["benchmark.jsonl:1"]
    assert signals["contamination_cut_ngrams"] == ["a miller grinds forty sacks of rye on monday and half as many"]
    assert signals["contamination_pieces"] == 2
    assert found["kept"][1] == clean(2)
    assert found["signals"][1]["contamination_pieces"] == 1


def test_what_is_cut_into_many_pieces_or_has_nothing_left_is_dropped(tmp_path):
    many = " ".join(f"{clean(i, 12)} {ITEMS[0]['question']}" for i in range(3))
    found = run(tmp_path, [many, ITEMS[0]["question"], clean(7)], action="cut", window=10, min_piece=10, max_pieces=3)
    assert {n: row["reason"] for n, row in found["ledger"].items()} == {0: "many_pieces", 1: "nothing_left"}
    assert found["ledger"][0]["value"] == 4
    assert all(row["value_text"].startswith("benchmark.jsonl:1: a miller") for row in found["ledger"].values())
    assert found["kept"] == {2: clean(7)}


def by_hand(text: str, spans: list[tuple[int, int]], window: int, min_piece: int) -> list[tuple[int, int]]:
    """The rule of `widened` in characters of an ASCII text."""
    cuts: list[list[int]] = []
    for start, stop in spans:
        low, high = max(0, start - window), min(len(text), stop + window)
        while low > 0 and text[low - 1] not in ".!?\n":
            low -= 1
        while high < len(text) and text[high - 1] not in ".!?\n":
            high += 1
        if cuts and low <= cuts[-1][1]:
            cuts[-1][1] = max(cuts[-1][1], high)
        else:
            cuts.append([low, high])
    merged: list[list[int]] = []
    for cut in cuts:
        if merged and cut[0] - merged[-1][1] < min_piece:
            merged[-1][1] = cut[1]
        else:
            merged.append(cut)
    if merged[0][0] < min_piece:
        merged[0][0] = 0
    if len(text) - merged[-1][1] < min_piece:
        merged[-1][1] = len(text)
    return [tuple(cut) for cut in merged]


@given(
    st.text(st.sampled_from("ab. \n"), min_size=8, max_size=80),
    st.lists(st.integers(0, 79), min_size=2, max_size=8, unique=True),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_windows_are_those_of_the_rule(text, marks, window, min_piece):
    marks = sorted({min(m, len(text)) for m in marks})
    spans = list(zip(marks[::2], marks[1::2]))
    if not spans:
        return
    starts, stops = (np.array(c, np.int64) for c in zip(*spans))
    cut = widened(np.frombuffer(text.encode(), np.uint8), starts, stops, window, min_piece)
    assert list(zip(*cut[:2].tolist())) == by_hand(text, spans, window, min_piece)
    assert cut[3].min() >= 1


def test_a_window_counts_characters_and_cuts_none_in_two():
    text = "äöü." * 10 + "MATCH" + "äöü." * 10
    data = np.frombuffer(text.encode(), np.uint8)
    at = text.encode().index(b"MATCH")
    cut = widened(data, np.array([at]), np.array([at + 5]), 6, 1)
    assert data[cut[0, 0] : cut[1, 0]].tobytes().decode() == "äöü." * 2 + "MATCH" + "äöü." * 2


def test_hostile_documents(tmp_path):
    question = ITEMS[0]["question"]
    documents = [
        "",
        " ",
        "\x00" * 50,
        "!?" * 500,
        question.replace(" ", "\r\n"),
        question.replace(" ", "\x00"),
        "a" * 10**6,
    ]
    assert set(run(tmp_path, documents)["kept"]) == {0, 1, 2, 3, 6}


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".json", ".csv", ".tsv", ".parquet"])
def test_reads_every_format_to_the_same_items(tmp_path, ending):
    path = tmp_path / f"gsm{ending}"
    if ending.startswith(".jsonl"):
        write_jsonl(path, ITEMS)
    elif ending == ".json":
        path.write_text(json.dumps(ITEMS))
    elif ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(ITEMS), path)
    else:
        import csv

        with path.open("w", newline="") as stream:
            rows = csv.DictWriter(stream, ["question", "answer"], delimiter="\t" if ending == ".tsv" else ",")
            rows.writeheader()
            rows.writerows(ITEMS)
    ((name, file),) = listing(str(path))
    items = list(read_items(name, file.url, ()))
    assert [item.texts for item in items] == [tuple(item.values()) for item in ITEMS]
    assert [item.benchmark for item in items] == ["gsm"] * 3
    header = ending in (".csv", ".tsv")
    assert [item.line for item in items] == [1 + header, 2 + header, 3 + header]


@pytest.mark.parametrize(
    ("record", "texts"),
    [
        ({"question": "q", "choices": ["a", "b"], "answer": 1}, ("q", "a", "b")),
        ({"question": "q", "choices": {"text": ["a", None], "label": ["A", "B"]}}, ("q", "a", "A", "B")),
        ({"question": "q", "answer": "a"}, ("q", "a")),
        ({"task_id": "t/0", "prompt": "p", "canonical_solution": "s"}, ("p", "s")),
        ({"ctx": "c", "endings": ["a", "b"], "label": 0}, ("c", "a", "b")),
        ({"prompt": "p"}, ("p",)),
        ({"text": "\ud800t"}, ("?t",)),
    ],
)
def test_knows_the_shapes_of_benchmarks(tmp_path, record, texts):
    path = tmp_path / "b.jsonl"
    path.write_text(json.dumps(record))
    assert next(iter(read_items("b", str(path), ()))).texts == texts


@pytest.mark.parametrize(
    ("content", "fields", "said"),
    [
        (
            '{"query": "a", "gold": "b"}\n',
            (),
            r"b.jsonl:1 has none of the fields .* It has query, gold; name its texts",
        ),
        (
            '{"question": "a"}\n\n{"quest": 1}\n',
            (),
            r"b.jsonl:3 has no field question. Did you mean quest\? It has quest",
        ),
        ('{"text": "a"}\n', ("texts",), r"b.jsonl:1 has no field texts. Did you mean text\? It has text"),
        ('{"text": "a"}\n{"text": \n', (), r"b.jsonl:2 is no JSON"),
        ('"text"\n', (), r"b.jsonl:1 is str; a benchmark's items are objects"),
    ],
)
def test_a_bad_benchmark_is_one_line(tmp_path, content, fields, said):
    path = tmp_path / "b.jsonl"
    path.write_text(content)
    with pytest.raises(InputError, match=said) as caught:
        Decontaminate(str(path), fields=fields).check("run")
    assert "\n" not in str(caught.value)


def test_other_bad_benchmarks(tmp_path):
    for name, content, said in (
        ("b.txt", b"x", "its name tells no format"),
        ("b.parquet", b"x", "cannot be read as parquet"),
        ("b.jsonl.gz", b"x", "cannot be read as jsonl"),
        ("b.jsonl", b"\xff\xfe", "cannot be read as jsonl"),
        ("b.json", b"{", "cannot be read as json"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=said):
            list(read_items("b", str(tmp_path / name), ()))
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with pytest.raises(SpecError, match="there is no item in"):
        Decontaminate(str(tmp_path / "empty.jsonl")).check("run")
    with pytest.raises(Exception, match="no file matches"):
        Decontaminate(str(tmp_path / "absent*.jsonl")).check("run")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ngram": 5}, "ngram is 5; it must be at least 8"),
        ({"min_ngram": 0}, "min_ngram is 0; it must be at least 1"),
        ({"window": -1}, "window is -1; it must be at least 0"),
        ({"max_documents": 0}, "max_documents is 0; it must be at least 1"),
    ],
)
def test_settings_out_of_range(settings, said):
    with pytest.raises(SpecError, match=said):
        Decontaminate("b.jsonl", **settings)


def test_another_benchmark_file_is_another_stage(tmp_path):
    from curator.fingerprint import of_sketch, of_stage

    path = write_jsonl(tmp_path / "b.jsonl", ITEMS)
    stage = Decontaminate(str(path))
    sketch, whole = of_sketch(stage), of_stage(stage)
    assert of_sketch(Decontaminate(str(path), window=7, action="cut")) == sketch
    assert of_stage(Decontaminate(str(path), window=7)) != whole
    write_jsonl(path, ITEMS[:1])
    assert of_sketch(stage) != sketch


@pytest.mark.realdata
def test_every_real_item_of_enough_words_is_found_in_itself(shared):
    stage = Decontaminate({"all": [str(shared / "data/benchmarks/*.*"), str(shared / "data/benchmarks/mmlu/*")]})
    index = stage.index()
    assert len(index.items) == 164 + 200 + 500 + 2391
    for item in index.items[::97]:
        own = words("\n".join(item.texts))
        found = {place for place, _ in matches(stage, "\n".join(item.texts).upper())}
        assert (item.place in found) == (len(own) >= 8), item
    text = pa.array(["\n".join(item.texts) for item in index.items])
    import pandas as pd

    column = pd.Series(text.to_pylist(), dtype="string")
    assert len(kernels.ngram_places(column, index.ngrams)) == len(index.items)
