"""The report against run.json, the ledger and the signals; against hostile text; and on runs that lack things."""

import base64
import dataclasses
import hashlib
import json
import re
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lxml import html

from curator.clean.unicode import FixUnicode
from curator.dedup.exact import ExactDedup
from curator.dedup.fuzzy import FuzzyDedup
from curator.errors import RunError
from curator.filter.gopher import GopherQuality, GopherRepetition
from curator.pipeline import Pipeline
from curator.read.jsonl import ReadJsonl
from curator.report import write_report
from curator.report.gather import gather
from curator.report.page import page
from curator.run.folder import RunFolder
from curator.run.runner import run
from curator.tokenize.pack import Pack
from curator.tokenize.tokenizer import Tokenize
from millrace import storage
from tests.corpus import documents, write_jsonl, write_parts

HOSTILE = (
    "<script>alert('x')</script> \"><img src=http://evil.example/x onerror=alert(1)> ]]> --> </style></title> "
    "&lt;b&gt; ${body} $title %s {0} \u202eright to left\u202c שלום \U0001f600 nul\x00bell\x07 \ufffe \x85"
)
PROSE = documents(30)[0]["text"]
EVIL = [
    {"id": "<b id=evil>one</b>", "url": "javascript:alert('url')", "text": HOSTILE},
    {"id": "kept\x00\u202e", "url": "\"' onmouseover='alert(1)'", "text": f"{PROSE} {HOSTILE}"},
    {"id": "gone", "url": "<iframe>", "text": f"{PROSE} {HOSTILE} </div></article><h1>more"},
]


def everything(path):
    return (
        ReadJsonl(path)
        | FixUnicode()
        | GopherQuality()
        | GopherRepetition()
        | ExactDedup()
        | FuzzyDedup(jaccard=0.6)
        | Tokenize(vocab_size=400)
        | Pack(seq_length=256)
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    path = write_parts(folder / "in", documents(240), 3)
    write_jsonl(folder / "in" / "part-90.jsonl", EVIL)
    (folder / "in" / "part-91.jsonl.gz").write_bytes(b"no gzip <script>")
    return Path(run(everything([path, f"{folder}/in/*.gz"]), str(folder / "run"), workers=0).folder)


@pytest.fixture(scope="module")
def tree(finished):
    return parsed(finished)


def parsed(folder):
    return html.fromstring(Path(write_report(str(folder))).read_bytes())


def rows(folder, kind):
    return pa.concat_tables([pq.read_table(path) for path in sorted((folder / kind).iterdir())])


def summary(folder):
    return json.loads((folder / "run.json").read_text())


def numbers(text):
    return [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", text)]


def find(tree, kind, tag="*"):
    return tree.xpath(f'//{tag}[contains(concat(" ", @class, " "), " {kind} ")]')


def test_funnel_is_that_of_run_json(finished, tree):
    body = find(tree, "funnel", "table")[0].find("tbody")
    stages = summary(finished)["stages"]
    assert len(body) == len(stages)
    for line, stage in zip(body, stages, strict=True):
        cells = [cell.text_content() for cell in line]
        assert cells[0] == stage["stage"]
        assert numbers(cells[2])[0] == stage["documents_out"]
        assert numbers(cells[4])[0] == stage["characters_out"]
        took = stage["documents_in"] - stage["documents_out"]
        assert not took or f"−{took:,}" in cells[2]


def test_reasons_are_those_of_ledger_and_run_json(finished, tree):
    shown, stage = {}, ""
    for line in find(tree, "reasons", "table")[0].find("tbody"):
        cells = [cell.text_content() for cell in line]
        stage = cells[0] or stage
        shown[stage, line[1].xpath("string(a | text())")] = numbers(cells[2])[0]
    ledger = rows(finished, "ledger").to_pylist()
    assert shown == Counter((row["stage"], row["reason"]) for row in ledger)
    assert shown == {(s["stage"], r): n for s in summary(finished)["stages"] for r, n in s["rejected"].items()}
    assert sum(shown.values()) == summary(finished)["read"] - summary(finished)["documents"]


def test_header_says_what_was_read_kept_and_could_not_be_read(finished, tree):
    said = summary(finished)
    shown = {d.find("dt").text: d.find("dd").text for d in tree.xpath('//header//*[@class="tiles"]/div')}
    assert numbers(shown["Documents read"]) == [said["read"]]
    assert numbers(shown["Documents kept"]) == [said["documents"]]
    assert numbers(shown["Tokens"]) == [said["tokens"]["tokens"]]
    assert "part-91.jsonl.gz" in find(tree, "warn")[0].text_content()


def test_values_beyond_a_limit_are_counted_exactly(finished, tree):
    signals = rows(finished, "signals")
    ruled = [(rule, stage) for stage in (GopherQuality(), GopherRepetition()) for rule in stage.rules]
    for rule, stage in ruled:
        limit = getattr(stage, rule.limit)
        values = [v for v in signals[rule.signal].to_pylist() if v is not None]
        beyond = sum(v < limit if rule.below else v > limit for v in values)
        (note,) = [li.text_content() for li in tree.xpath("//li") if li.text_content().startswith(rule.limit + ":")]
        assert (f"– {beyond} beyond" if beyond else "none beyond") in note


def test_bars_hold_every_value_once(finished, tree):
    signals = rows(finished, "signals")
    for card in find(tree, "card"):
        name = card.find("h4").text.replace(" ", "_")
        if name not in signals.column_names:
            continue
        values = [v for v in signals[name].to_pylist() if v is not None]
        drawn = sum(numbers(title.text.rpartition(": ")[2])[0] for title in card.iter("title"))
        assert drawn in (len(values), sum(v != 0 for v in values))


def test_duplicates_are_those_of_the_ledger(finished, tree):
    ledger = [row for row in rows(finished, "ledger").to_pylist() if row["witness"] is not None]
    near = [row for row in ledger if row["reason"] == "near_duplicate"]
    exact = [row for row in ledger if row["reason"] == "exact_duplicate"]
    headings = [h.text_content() for h in tree.iter("h3")]
    assert any(h.startswith(f"ExactDedup {len(exact)} copies of") for h in headings)
    assert any(h.startswith(f"FuzzyDedup {len(near)} documents removed") for h in headings)
    known = {(row["witness"], row["doc_id"]): row["similarity"] for row in near}
    pairs = find(tree, "pair", "article")
    for pair in pairs:
        witness, gone = (numbers(h5.xpath("string(b)"))[0] for h5 in pair.iter("h5"))
        assert f"{known[witness, gone]:.3f}" in pair.find("header").text_content()
    assert f"similarity {min(known.values()):.3f}" in " ".join(p.find("header").text_content() for p in pairs)
    most = Counter(row["witness"] for row in near).most_common(1)[0][1]
    assert f"{most} documents removed for this witness" in tree.text_content()


def test_examples_are_dropped_documents_with_their_evidence(finished, tree):
    ledger = {row["doc_id"]: row for row in rows(finished, "ledger").to_pylist()}
    for section in tree.xpath("//section"):
        reason = section.xpath("string(h3/text())").strip().partition(": ")[2]
        shown = section.xpath('.//div[@class="example"]')
        assert 1 <= len(shown) <= 5
        for example in shown:
            row = ledger[int(example.xpath('string(.//div[@class="who"]/b)'))]
            assert row["reason"] == reason
            assert row["threshold"] is None or f"limit {row['threshold']:.4g}" in example.text_content()
    links = {a.get("href")[1:] for a in tree.xpath('//table[@class="reasons"]//a')}
    assert links == {h.get("id") for h in tree.xpath("//section/h3")}


def test_hostile_text_stays_text(finished, tree):
    content = (finished / "report.html").read_bytes()
    assert content.count(b"<script>") == content.count(b"</script>") == 1
    assert not set(content) & (set(range(32)) - {9, 10})
    assert not tree.xpath("//img | //iframe | //*[@id='evil'] | //h1[text()='more']")
    for element in tree.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in ("href", "src") or value.startswith(("#", "data:,"))
    said = tree.text_content()
    for piece in ("<script>alert('x')</script>", "<img src=http://evil.example/x", "]]>", "&lt;b&gt;", "${body}",
                  "$title", "שלום", "\U0001f600", "<b id=evil>one</b>", "javascript:alert('url')"):  # fmt: skip
        assert piece in said, piece
    override = tree.xpath("//*[contains(text(), '\u202e')]")
    assert override
    assert all(e.tag == "bdi" or e.get("dir") == "auto" or e.getparent().get("dir") for e in override)


def test_page_needs_no_network_and_only_its_own_script_may_run(finished, tree):
    policy = tree.xpath('//meta[@http-equiv="Content-Security-Policy"]')[0].get("content")
    script = tree.xpath("//script")[0].text
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "@import" not in (style := tree.xpath("//style")[0].text)
    assert "url(" not in style
    assert (finished / "report.html").stat().st_size < 2e6


def timeless(folder):
    """The page, with all times made 0."""
    facts = gather(RunFolder(str(folder)))
    said = facts.run | {
        "seconds": 0,
        "stages": [stage | {"seconds": 0, "fit_seconds": 0} for stage in facts.run["stages"]],
    }
    return page(dataclasses.replace(facts, run=said))


def test_same_run_gives_same_bytes(finished, tmp_path):
    first = Path(write_report(str(finished))).read_bytes()
    assert Path(write_report(str(finished))).read_bytes() == first
    path = [str(finished.parent / "in" / "part-*.jsonl"), str(finished.parent / "in" / "*.gz")]
    other = run(everything(path), str(tmp_path / "run"), workers=0, batch_mb=0.02).folder
    assert timeless(other) == timeless(finished)


def test_changed_settings_show_the_run_there_is_now(tmp_path):
    path = write_parts(tmp_path / "in", documents(60), 2)
    for limit in (50, 90, 70):
        run(ReadJsonl(path) | GopherQuality(min_words=limit) | FuzzyDedup(), str(tmp_path / "run"), workers=0)
    tree = parsed(tmp_path / "run")
    (section,) = (s for s in tree.iter("section") if "few_words" in s.find("h3").text)
    assert all("limit 70" in one.text_content() for one in section.findall("div"))


def test_run_without_filters_has_no_signals(tmp_path):
    path = write_parts(tmp_path / "in", documents(40), 2)
    folder = Path(run(ReadJsonl(path) | ExactDedup(), str(tmp_path / "run"), workers=0).folder)
    tree = parsed(folder)
    ids = {e.get("id") for e in tree.iter("h2")}
    assert "signals" not in ids
    assert "tokens" not in ids
    assert {"funnel", "reasons", "duplicates", "examples", "run"} <= ids


def test_run_without_dedup_has_no_duplicates(tmp_path):
    path = write_parts(tmp_path / "in", documents(40), 2)
    folder = run(ReadJsonl(path) | GopherQuality(), str(tmp_path / "run"), workers=0).folder
    ids = {e.get("id") for e in parsed(folder).iter("h2")}
    assert "duplicates" not in ids
    assert "signals" in ids


def test_run_of_nothing_says_so(tmp_path):
    (tmp_path / "none.jsonl").write_bytes(b"\n")
    folder = run(everything(str(tmp_path / "none.jsonl")), str(tmp_path / "run"), workers=0).folder
    said = parsed(folder).text_content()
    assert "No document was dropped." in said
    assert re.search(r"\bnan\b", said) is None


def test_run_that_drops_everything_says_so(tmp_path):
    path = str(write_jsonl(tmp_path / "short.jsonl", [{"id": "a", "url": "", "text": "too short"}]))
    folder = run(everything(path), str(tmp_path / "run"), workers=0).folder
    tree = parsed(folder)
    assert tree.xpath('string(//*[@class="tiles"]/div[2]/dd)').startswith("0")
    assert [e.text_content() for e in tree.xpath('//table[@class="reasons"]/tbody//a')] == ["few_words"]


def test_run_of_unreadable_files_alone_names_them(tmp_path):
    (tmp_path / "bad.jsonl.gz").write_bytes(b"no gzip")
    folder = run(Pipeline([ReadJsonl(str(tmp_path / "bad.jsonl.gz"))]), str(tmp_path / "run"), workers=0).folder
    assert "bad.jsonl.gz" in find(parsed(folder), "warn")[0].text_content()


def test_cleaned_run_gives_one_line_and_keeps_its_report(tmp_path):
    path = write_parts(tmp_path / "in", documents(20), 2)
    folder = run(ReadJsonl(path) | ExactDedup(), str(tmp_path / "run"), workers=0).folder
    before = Path(write_report(folder)).read_bytes()
    storage.remove(RunFolder(folder).work)
    with pytest.raises(RunError, match="was cleaned"):
        write_report(folder)
    assert (tmp_path / "run" / "report.html").read_bytes() == before


def test_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no run\.json"):
        write_report(str(tmp_path))


def duplicates_of(folder):
    """Return the text of the headings and notes below Duplicates."""
    tree = parsed(folder)
    assert "duplicates" in [node.get("id") for node in tree.iter("h2")]
    return " ".join(tree.text_content().split())


def test_removals_for_documents_of_other_runs_are_counted_apart(tmp_path):
    old, new = documents(60)[:30], documents(60)[20:]
    first = ReadJsonl(write_parts(tmp_path / "old", old, 1)) | FuzzyDedup(index="fingerprints")
    run(first, str(tmp_path / "a"), workers=0)
    second = ReadJsonl(write_parts(tmp_path / "new", new, 1)) | FuzzyDedup(against=str(tmp_path / "a"))
    run(second, str(tmp_path / "b"), workers=0)
    elsewhere = sum(row["witness_run"] is not None for row in rows(tmp_path / "b", "ledger").to_pylist())
    assert elsewhere > 5
    assert f"{elsewhere} documents removed for one of another run" in duplicates_of(tmp_path / "b")
    third = ReadJsonl(write_parts(tmp_path / "same", old, 1)) | FuzzyDedup(against=str(tmp_path / "a"))
    run(third, str(tmp_path / "c"), workers=0)  # nothing is removed for a document of its own
    assert "documents removed for one of another run" in duplicates_of(tmp_path / "c")


def test_documents_of_one_url_are_not_called_copies_of_a_text(tmp_path):
    records = [{"id": str(i), "url": f"http://x/{i % 3}", "text": f"text {i}"} for i in range(9)]
    run(
        ReadJsonl(write_parts(tmp_path / "in", records, 1)) | ExactDedup(column="url"), str(tmp_path / "run"), workers=0
    )
    said = duplicates_of(tmp_path / "run")
    assert "6 documents removed, of the same url as one of 3 documents that stayed" in said
    assert "copies of" not in said
