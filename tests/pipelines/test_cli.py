"""The command line: what each command prints, writes and returns."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import curator
from curator import spec
from millrace import __version__, storage
from pipelines import recipes
from pipelines.cli import main, parser, stopped
from pipelines.describe import KINDS, describe_stage, list_stages
from pipelines.funnel import funnel
from pipelines.plan import SECONDS_PER_MB, START, describe, estimate
from tests.corpus import documents, write_jsonl, write_parts
from tests.laws.test_run_laws import content

ROOT = Path(__file__).parents[2]
SETTINGS = ("--set", "IdentifyLanguage.min_score=0.3", "--set", "GopherQuality.min_stop_words=1")
SMALL = (*SETTINGS, "--set", "Tokenize.vocab_size=400", "--set", "Pack.seq_length=64")


def command(*arguments: Any) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> str:
    return write_parts(tmp_path_factory.mktemp("in"), documents(80, seed=21), 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory, inputs) -> Path:
    """The folder of a finished run of the text recipe."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert command("curate", "text", "--input", inputs, "--output", folder, "--workers", 0, *SMALL) == 0
    return folder


def test_curate_prints_the_funnel_and_the_report_and_writes_all_there_is(inputs, run, capsys):
    assert command("curate", "text", "--input", inputs, "--output", run, "--workers", 0, *SMALL) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0].split() == ["stage", "documents", "characters", "dropped"]
    assert f"report     {run}/report.html" in out
    assert "tokens" in out
    assert "Traceback" not in err
    names = {path.name for path in run.iterdir()}
    assert names == {"documents", "ledger", "signals", "tokens", "inputs.json", "run.json", "report.html", "work"}


def test_the_command_line_does_what_python_does(inputs, run, tmp_path):
    settings = [setting for setting in SMALL if setting != "--set"]
    recipes.load("text", [inputs], settings).run(str(tmp_path / "run"), workers=0)
    assert content(tmp_path / "run") == content(run)


def test_a_tokenizer_on_the_command_line_is_the_one_used(run, inputs, tmp_path):
    given = ("--tokenizer", run / "tokens/tokenizer.json", *SETTINGS)
    assert command("curate", "text", "--input", inputs, "--output", tmp_path / "run", "--workers", 0, *given) == 0
    here, there = ((folder / "tokens/tokenizer.json").read_bytes() for folder in (run, tmp_path / "run"))
    assert here == there


def test_a_limit_reads_so_many_documents(inputs, tmp_path):
    for limit, read in ((0, 0), (50, 50), (1000, 80)):
        given = ("--output", tmp_path / f"run-{limit}", "--limit", limit, "--workers", 0)
        assert command("curate", "dedup", "--input", inputs, *given) == 0
        assert storage.read_json(f"{tmp_path}/run-{limit}/run.json")["read"] == read


def test_a_run_on_an_object_store_gives_the_bytes_of_one_on_a_disk(inputs, run):
    store = "memory://cli/run"
    assert command("curate", "text", "--input", inputs, "--output", store, "--workers", 0, *SMALL) == 0
    for name in content(run):
        assert storage.read_bytes(storage.join(store, name)) == (run / name).read_bytes(), name
    assert command("why", store, "doc-00000") == 0
    assert command("report", store) == 0
    assert storage.exists(storage.join(store, "report.html"))
    assert command("clean", store) == 0
    assert not storage.exists(storage.join(store, "work/lock"))


def test_a_plan_runs_nothing(inputs, tmp_path, capsys):
    assert command("curate", "text", "--input", inputs, "--output", tmp_path / "run", "--plan") == 0
    out = capsys.readouterr().out
    for words in ("input   2 files, 2 parts", "CPU seconds", "pass 1: ReadJsonl", "fit FuzzyDedup", "pass 2:"):
        assert words in out
    assert not (tmp_path / "run").exists()


def test_why_says_of_every_document_what_became_of_it(run, capsys):
    for record in documents(80, seed=21)[::7]:
        assert command("why", run, record["id"]) == 0
        assert command("why", run, record["url"]) == 0
        lines = capsys.readouterr().out.splitlines()
        half = len(lines) // 2
        assert lines[:half] == lines[half:]
        assert lines[0].split()[1:] == [record["id"], record["url"]]
        assert (lines[1] == "  kept") != lines[1].startswith("  dropped by ")


def test_clean_drops_the_work_and_keeps_the_results(run, inputs, tmp_path, capsys):
    folder = tmp_path / "run"
    assert command("curate", "dedup", "--input", inputs, "--output", folder, "--workers", 0) == 0
    before = content(folder)
    assert command("clean", folder) == 0
    assert not (folder / "work").exists()
    assert content(folder) == before
    assert command("why", folder, "doc-00001") == 0
    assert command("curate", "dedup", "--input", inputs, "--output", folder, "--workers", 0) == 0
    assert content(folder) == before
    assert capsys.readouterr().err.count("millrace:") == 0


def test_stages_are_listed_and_described(capsys):
    assert command("stages") == 0
    listed = capsys.readouterr().out
    for name in spec.stages():
        assert f"{name} " in listed
        assert command("stages", name) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"{name} (")
        assert all(f"\n  {field.name} " in said for field in dataclasses.fields(spec.stages()[name]))


def test_bands_proposes_and_shows_the_curve(capsys):
    assert command("bands", "--jaccard", 0.8) == 0
    proposed = capsys.readouterr().out
    assert proposed.startswith("bands  rows  values")
    assert "26 bands x 8 rows" in proposed
    assert command("bands", "--bands", 14, "--rows", 8) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("14 bands x 8 rows")
    assert "0.9235  threshold" in shown
    assert command("bands", "--bands", 14) == 2
    assert "--bands and --rows go together" in capsys.readouterr().err
    assert command("bands", "--jaccard", 2) == 2
    assert "jaccard is 2.0" in capsys.readouterr().err


def test_every_stage_has_a_kind_and_a_cost():
    known = spec.stages()
    assert set(SECONDS_PER_MB) == set(known)
    kinds = {line[21:35].strip() for line in list_stages(known).splitlines()}
    assert kinds == set(KINDS.values())
    assert "jaccard" in describe_stage(curator.FuzzyDedup)
    assert "required" in describe_stage(curator.ReadJsonl)


def test_the_estimate_grows_with_the_input_and_html_shrinks_to_text(tmp_path):
    write_jsonl(tmp_path / "x.jsonl", documents(5))
    text = recipes.load("text", [str(tmp_path / "x.jsonl")], [])
    assert estimate(text, 20) - START == pytest.approx(2 * (estimate(text, 10) - START))
    assert estimate(text, 10) > START
    dear = recipes.load("web", ["x.warc.gz"], [])
    assert estimate(dear, 10) - START < sum(10 * SECONDS_PER_MB[type(stage).__name__] for stage in dear.stages)
    assert "1 files, 1 parts" in describe(text)


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_makes_a_pipeline(name):
    ending = "warc.gz" if name == "web" else "parquet"
    pipeline = recipes.load(name, [f"a.{ending}", f"b.{ending}"], [])
    assert pipeline.stages[0].path == [f"a.{ending}", f"b.{ending}"]


@pytest.mark.parametrize(
    ("given", "reader"),
    [
        (["a.jsonl"], "ReadJsonl"),
        (["a.json.zst", "b.ndjson.gz"], "ReadJsonl"),
        (["s3://b/*.parquet"], "ReadParquet"),
        (["a.warc.gz", "b.arc.gz", "c.warc"], "ReadWarc"),
    ],
)
def test_the_ending_tells_the_reader(given, reader):
    assert recipes.reader_for(given) == reader


@pytest.mark.parametrize("given", [["a.txt"], ["a.jsonl", "b.parquet"], ["a.gz"], [""]])
def test_an_ending_that_does_not_is_refused(given):
    with pytest.raises(ValueError, match="its ending does not tell the reader"):
        recipes.reader_for(given)


def test_the_funnel_says_what_the_summary_holds():
    stage = {"stage": "ReadJsonl", "documents_out": 1234567, "characters_out": 5, "rejected": {"broken_json": 1000}}
    summary = {
        "stages": [stage],
        "skipped": {"blank line": 2},
        "tokens": None,
        "seconds": 1.23,
        "workers": 4,
        "device": "cpu",
    }
    assert funnel(summary).splitlines() == [
        "stage               documents    characters  dropped",
        "ReadJsonl           1,234,567             5  broken_json 1,000",
        "skipped    blank line 2",
        "seconds    1.2 on 4 workers, cpu",
    ]


def test_version_and_help_go_to_standard_output(capsys):
    for given in (["--version"], ["--help"], ["curate", "--help"]):
        with pytest.raises(SystemExit) as exit:
            main(given)
        assert exit.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"millrace {__version__}")
    assert "0 done, 1 failed, 2 usage, 3 done with quarantined input" in out
    assert err == ""


def test_debug_shows_where_an_error_arose(tmp_path):
    with pytest.raises(ValueError, match="no recipe is called x"):
        command("curate", "x", "--output", tmp_path / "run", "--debug")


def test_an_error_of_ours_is_one_line_that_says_so(tmp_path, capsys, inputs):
    """A damaged register is nothing a user does; it still must not end in a page of Python."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "inputs.json").write_text('{"pipeline": 3}')
    (folder / "run.json").write_text("{}")
    assert command("report", folder) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("millrace: ")
    assert "--debug shows where" in line


def test_a_stopped_command_says_whether_it_would_go_on():
    goes_on = parser().parse_args(["pretrain", "tiny", "--shards", "x", "--output", "y"])
    begins = parser().parse_args(["export", "x", "--to", "hf"])
    assert (stopped(goes_on), stopped(begins)) == (
        "stopped; the same command resumes", "stopped; the same command begins anew",
    )  # fmt: skip


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "pipelines.cli", "stages"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.startswith("ReadWarc")
