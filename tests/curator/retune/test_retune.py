"""Retuned runs against runs that were really made with the other settings."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline
from curator.errors import RunError
from curator.report import write_report
from curator.retune import retune, say
from curator.run.folder import RunFolder
from curator.spec import with_settings
from millrace import storage
from millrace.errors import ConfigError
from pipelines.cli import main
from tests.corpus import documents, write_parts
from tests.curator.test_signals_kept import LongUrl


def filters(path, **settings):
    """Two groups of filters: the second measures what the first let pass."""
    return [
        curator.ReadJsonl(path),
        curator.IdentifyLanguage(keep=settings.get("keep", ("en",)), min_score=settings.get("min_score", 0.3)),
        curator.GopherQuality(min_words=settings.get("min_words", 60), min_stop_words=1),
        curator.FixUnicode(),
        curator.GopherRepetition(max_top_2_gram_characters=settings.get("top", 0.2)),
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("retune")
    glob = write_parts(place / "in", documents(240, seed=5), 3)
    Pipeline(filters(glob)).run(str(place / "filters"), workers=0)
    deduplicated = [*filters(glob), curator.ExactDedup(), curator.FuzzyDedup()]
    tokens = [curator.Tokenize(vocab_size=400), curator.Pack(seq_length=128)]
    Pipeline([*deduplicated, *tokens]).run(str(place / "whole"), workers=0)
    return place, glob


def kept(folder) -> set[str]:
    return {i for path in (folder / "documents").iterdir() for i in pq.read_table(path)["id"].to_pylist()}


def ledger(folder) -> list[dict]:
    return pa.concat_tables([pq.read_table(path) for path in sorted((folder / "ledger").iterdir())]).to_pylist()


NAMED = {
    "keep": "IdentifyLanguage.keep", "min_score": "IdentifyLanguage.min_score",
    "min_words": "GopherQuality.min_words", "top": "GopherRepetition.max_top_2_gram_characters",
}  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"min_words": 150},
        {"min_words": 5, "min_score": 0.0},
        {"keep": ("en", "de")},
        {"keep": ()},
        {"top": 0.01},
        {"top": 1.0, "min_words": 200, "min_score": 0.4},
        {"keep": ("de",), "min_words": 0, "top": 0.9},
    ],
)
def test_fates_are_those_of_a_run_with_these_settings(made, tmp_path, settings):
    place, glob = made
    given = [f"{NAMED[name]}={list(v) if isinstance(v, tuple) else v}" for name, v in settings.items()]
    retuned = retune(RunFolder(str(place / "filters")), given, str(tmp_path / "fates.parquet"))
    Pipeline(filters(glob, **settings)).run(str(tmp_path / "run"), workers=0)
    really, before = kept(tmp_path / "run"), kept(place / "filters")
    reasons = {row["id"]: f"{row['stage']}: {row['reason']}" for row in ledger(tmp_path / "run")}
    fates = pq.read_table(tmp_path / "fates.parquet").to_pylist()
    assert len(fates) == 240
    for fate in fates:
        assert fate["kept_before"] == (fate["id"] in before)
        if fate["kept_after"] is not None:
            assert fate["kept_after"] == (fate["id"] in really), fate
            assert fate["reason"] == reasons.get(fate["id"]), fate
    stays = [fate for fate in fates if fate["kept_after"]]
    open_ = sum(fate["kept_after"] is None for fate in fates)
    assert retuned.now.kept.documents == len(stays)
    assert retuned.now.unknown.documents == open_
    assert len(stays) <= len(really) <= len(stays) + open_
    assert retuned.was.kept.documents == len(before)
    assert retuned.newly_kept == sum(not fate["kept_before"] for fate in stays)
    assert retuned.newly_dropped == sum(fate["kept_before"] and fate["kept_after"] is False for fate in fates)
    assert retuned.estimate == ""
    if not any(given) or set(settings) == {"top"}:
        assert open_ == 0  # nothing follows the last group


def test_what_only_one_rule_drops_and_what_lies_beyond_it(made):
    place, _ = made
    retuned = retune(RunFolder(str(place / "filters")), [])
    signals = pa.concat_tables([pq.read_table(p) for p in sorted((place / "filters/signals").iterdir())]).to_pylist()
    stages = filters("x")
    wanted: dict[str, list[int]] = {}
    for row in signals:
        beyond = ["IdentifyLanguage: language"] if row["lang"] != "en" else []
        for stage in stages:
            for rule in getattr(stage, "rules", ()):
                value, limit = row[rule.signal], getattr(stage, rule.limit)
                if value is not None and (value < limit if rule.below else value > limit):
                    beyond.append(f"{type(stage).__name__}: {rule.reason}")
        for place_, said in enumerate(beyond):
            counts = wanted.setdefault(said, [0, 0, 0])
            counts[0] += place_ == 0
            counts[1] += 1
            counts[2] += len(beyond) == 1
    now = retuned.now
    found = {
        reason.said: [int(now.dropped[i]), int(now.beyond[i, i]), int(now.only[i])]
        for i, reason in enumerate(retuned.after.reasons)
        if now.beyond[i, i]
    }
    assert found == wanted
    assert now.joint == now.dropped.sum()


def test_past_deduplication_it_is_an_estimate_and_exact_before(made, tmp_path):
    place, glob = made
    folder = RunFolder(str(place / "whole"))
    retuned = retune(folder, ["GopherRepetition.max_top_2_gram_characters=0.015"], str(tmp_path / "fates.parquet"))
    assert retuned.estimate == "ExactDedup"
    Pipeline([*filters(glob, top=0.015), curator.ExactDedup()]).run(str(tmp_path / "run"), workers=0)
    count = next(s for s in storage.read_json(str(tmp_path / "run/run.json"))["stages"] if s["stage"] == "ExactDedup")
    fates = pq.read_table(tmp_path / "fates.parquet").to_pylist()
    by_filters = [f for f in fates if (f["reason"] or "").partition(":")[0] in ("IdentifyLanguage", "GopherQuality",
                                                                               "GopherRepetition")]  # fmt: skip
    assert 240 - len(by_filters) == count["documents_in"]
    assert "estimate: exact up to ExactDedup" in say(retuned)
    assert retune(folder, []).estimate == ""


def test_tokens_are_those_of_the_documents_and_otherwise_estimated(made):
    place, _ = made
    folder = RunFolder(str(place / "whole"))
    tokens = {
        row["doc_id"]: row["n_tokens"]
        for path in (place / "whole/documents").iterdir()
        for row in pq.read_table(path, columns=["doc_id", "n_tokens"]).to_pylist()
    }
    same = retune(folder, [])
    assert same.was.kept.tokens == same.now.kept.tokens == sum(tokens.values())
    assert same.was.kept == same.now.kept
    more = retune(
        folder, ["GopherRepetition.max_top_2_gram_characters=1.0", "GopherRepetition.max_top_3_gram_characters=1.0"]
    )
    assert more.ratio == pytest.approx(same.was.kept.tokens / same.was.kept.characters)


def test_borderline_documents_are_the_nearest_whose_fate_hangs_on_the_limit(made):
    place, _ = made
    retuned = retune(RunFolder(str(place / "filters")), ["GopherQuality.min_words=200"])
    (border,) = retuned.borderline
    assert [value for value, _ in border.passing] == sorted(value for value, _ in border.passing)
    assert all(value >= 200 for value, _ in border.passing)
    assert all(value < 200 for value, _ in border.falling)
    assert len(border.passing) == len(border.falling) == 3
    texts = {record["id"]: record["text"].replace("Ã©", "é") for record in documents(240, seed=5)}
    shown = [retuned.texts[doc_id] for _, doc_id in border.passing]
    assert all(" ".join(texts[id_].split()).startswith(excerpt) for id_, excerpt in shown)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("GopherQualty.min_words=3", "no stage GopherQualty. Did you mean GopherQuality?"),
        ("GopherQuality.min_word=3", "has no field min_word. Did you mean min_words?"),
        ("GopherQuality.min_words=many", "GopherQuality.min_words is 'many'; it must be int"),
        ("IdentifyLanguage.model=x.bin", "model shapes what is measured.* can be set: Ident.* min_score"),
        ("FuzzyDedup.jaccard=0.5", "FuzzyDedup is no filter.*GopherQuality: min_words"),
        ("ReadJsonl.part_mb=5", "ReadJsonl is a reader; what can be retuned"),
        ("min_words=3", "write Stage.field=value"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_retuned_are_a_mistake_in_one_line(made, capsys, setting, words):
    place, _ = made
    with pytest.raises(ConfigError, match=words):
        retune(RunFolder(str(place / "whole")), [setting])
    assert main(["retune", str(place / "whole"), "--set", setting]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_command_prints_the_line_that_applies_it_and_that_line_does(made, tmp_path, capsys):
    place, _ = made
    assert main(["retune", str(place / "filters"), "--set", "GopherQuality.min_words=120"]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("apply: ")]
    setting = line.partition("--set ")[2]
    run = storage.read_json(str(place / "filters/run.json"))
    assert with_settings(run["pipeline"], [setting])[2]["GopherQuality"]["min_words"] == 120
    assert "GopherQuality.min_words: 60 -> 120" in out
    assert main(["retune", str(place / "filters")]) == 0
    assert "can be set: IdentifyLanguage: min_score, keep; GopherQuality: min_words" in capsys.readouterr().out


def test_what_a_private_filter_would_do_with_a_document_it_never_met_is_not_told(made, tmp_path):
    """A filter of the user's own cannot be built from run.json: what it dropped stays dropped."""
    _, glob = made
    first, last = curator.GopherQuality(min_words=60, min_stop_words=1), LongUrl(min_url=22)
    Pipeline([curator.ReadJsonl(glob), first, curator.FixUnicode(), last]).run(str(tmp_path / "run"), workers=0)
    folder = RunFolder(str(tmp_path / "run"))
    more = retune(folder, ["GopherQuality.min_words=1"])
    assert more.newly_kept == 0
    assert more.now.unknown.documents > 0
    fewer = retune(folder, ["GopherQuality.min_words=150"], str(tmp_path / "fates.parquet"))
    assert fewer.now.unknown.documents == 0
    fates = pq.read_table(tmp_path / "fates.parquet").to_pylist()
    assert {fate["reason"] for fate in fates} >= {None, "LongUrl", "GopherQuality: few_words"}
    write_report(folder.url)


def test_runs_that_cannot_be_retuned_say_why(made, tmp_path):
    place, glob = made
    with pytest.raises(RunError, match=r"no run\.json"):
        retune(RunFolder(str(tmp_path)), [])
    Pipeline([curator.ReadJsonl(glob), curator.ExactDedup()]).run(str(tmp_path / "plain"), workers=0)
    with pytest.raises(RunError, match="has no filter"):
        retune(RunFolder(str(tmp_path / "plain")), [])
    with pytest.raises(RunError, match=r"ends in \.parquet"):
        retune(RunFolder(str(place / "filters")), [], str(tmp_path / "x.csv"))


def test_signals_that_contradict_the_ledger_are_refused(made, tmp_path):
    _, glob = made
    folder = tmp_path / "run"
    Pipeline(filters(glob)).run(str(folder), workers=0)
    path = folder / "signals/part-00001.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("nonsymbol_words")
    pq.write_table(table.set_column(at, "nonsymbol_words", pa.array([0] * len(table))), path)
    with pytest.raises(RunError, match="does not give the decisions of ledger"):
        retune(RunFolder(str(folder)), [])
    pq.write_table(table.drop_columns(["document_characters"]), path)
    with pytest.raises(RunError, match="lacks document_characters; another version"):
        retune(RunFolder(str(folder)), [])


def test_a_cleaned_run_can_be_retuned(made, tmp_path):
    _, glob = made
    Pipeline(filters(glob)).run(str(tmp_path / "run"), workers=0)
    before = say(retune(RunFolder(str(tmp_path / "run")), ["GopherQuality.min_words=20"]))
    storage.remove(str(tmp_path / "run/work"))
    after = say(retune(RunFolder(str(tmp_path / "run")), ["GopherQuality.min_words=20"]))
    assert before.splitlines()[:8] == after.splitlines()[:8]
    assert "its text is not in the run any more" in after


def test_filters_that_only_measure_give_a_report_and_a_table_without_rules(tmp_path):
    glob = write_parts(tmp_path / "in", documents(20, seed=5), 1)
    Pipeline([curator.ReadJsonl(glob), curator.RedactPii(action="tag")]).run(str(tmp_path / "run"), workers=0)
    folder = RunFolder(str(tmp_path / "run"))
    write_report(folder.url)
    retuned = retune(folder, [], str(tmp_path / "fates.parquet"))
    assert retuned.was.kept.documents == retuned.now.kept.documents == len(kept(tmp_path / "run")) > 0
    assert set(pq.read_table(tmp_path / "fates.parquet")["kept_after"].to_pylist()) == {True}
    assert "all rules together" in say(retuned)


@pytest.mark.parametrize(("before", "after"), [(None, 0.8), (0.8, None)])
def test_a_limit_that_the_run_had_off_can_be_set_and_one_it_had_on_can_be_taken_off(tmp_path, before, after):
    glob = write_parts(tmp_path / "in", documents(120, seed=5), 2)
    for name, letters in (("before", before), ("after", after)):
        stage = curator.CodeQuality(language="url", min_lines=None, min_comments=None, min_letters=letters)
        Pipeline([curator.ReadJsonl(glob), stage]).run(str(tmp_path / name), workers=0)
    said = "null" if after is None else str(after)
    retuned = retune(
        RunFolder(str(tmp_path / "before")), [f"CodeQuality.min_letters={said}"], str(tmp_path / "fates.parquet")
    )
    fates = pq.read_table(tmp_path / "fates.parquet").to_pylist()
    assert {fate["id"] for fate in fates if fate["kept_after"]} == kept(tmp_path / "after")
    assert (retuned.newly_dropped if before is None else retuned.newly_kept) > 0
    assert f"-> {said}" in say(retuned)


def test_a_share_is_an_estimate_although_no_kept_document_changes(tmp_path):
    glob = write_parts(tmp_path / "in", documents(120, seed=5), 2)

    def run(name, score):
        stages = [curator.IdentifyLanguage(keep=(), min_score=score), curator.TopShare("lang_score", share=0.5)]
        Pipeline([curator.ReadJsonl(glob), *stages]).run(str(tmp_path / name), workers=0)
        return kept(tmp_path / name)

    was = run("run", 0.0)
    tables = [pq.read_table(path) for path in (tmp_path / "run" / "documents").iterdir()]
    limit = float(pa.compute.min(pa.concat_tables(tables)["lang_score"]).as_py()) - 0.01
    retuned = retune(RunFolder(str(tmp_path / "run")), [f"IdentifyLanguage.min_score={limit}"])
    assert retuned.newly_kept == retuned.newly_dropped == 0
    assert run("done", limit) < was
    assert retuned.estimate == "TopShare"
