"""`millrace train-classifier`: which files it reads, what it prints, what it refuses."""

from __future__ import annotations

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import FAILED, USAGE, main
from tests.curator.filter.test_train_classifier import BAD, GOOD

SMALL = [f"TrainQualityClassifier.{setting}" for setting in ("buckets=1000", "dim=10", "epochs=20")]


@pytest.fixture
def sets(tmp_path):
    """Sets in every kind of file."""
    half = len(GOOD) // 2
    with gzip.open(tmp_path / "good.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps({"body": text}) + "\n" for text in GOOD[:half])
    pq.write_table(pa.table({"body": GOOD[half:-1]}), tmp_path / "good.parquet")
    (tmp_path / "good.txt").write_text(GOOD[-1])
    (tmp_path / "bad.jsonl").write_text("".join(json.dumps({"body": text}) + "\n" for text in BAD))
    return tmp_path


def command(folder, *more, bad="bad.jsonl", output="m.bin"):
    settings = [word for setting in SMALL for word in ("--set", setting)]
    files = ["--positive", f"{folder}/good*", "--negative", f"{folder}/{bad}", "--output", f"{folder}/{output}"]
    return main(["train-classifier", *files, "--text", "body", *settings, *more])


def test_reads_every_kind_of_file_and_says_how_good_the_model_is(sets, capsys):
    assert command(sets) == 0
    record = json.loads((sets / "m.bin.json").read_text())
    assert (record["sets"]["hq"]["given"], record["sets"]["lq"]["given"]) == (len(GOOD), len(BAD))
    assert record["settings"]["dim"] == 10
    said = capsys.readouterr().out
    assert f"hq         {len(GOOD)} texts of {len(GOOD)} given, {record['sets']['hq']['held_out']} held out" in said
    assert "held out   ROC-AUC 1.0000, average precision 1.0000" in said
    assert "     0.50      1.000   1.000       0.000" in said


@pytest.mark.parametrize(
    ("arguments", "changed", "code", "said"),
    [
        (["--set", "TrainQualityClassifier.epoch=3"], {}, USAGE, "no field epoch. Did you mean epochs?"),
        (["--set", "TrainClassifier.epochs=3"], {}, USAGE, "Did you mean TrainQualityClassifier?"),
        ([], {"output": "model"}, USAGE, "model: a fastText model ends in .bin"),
        ([], {"bad": "none*"}, FAILED, "no file matches"),
        ([], {"bad": "good.txt"}, FAILED, "1 texts are both hq and lq"),
        ([], {"bad": "odd.jsnl"}, FAILED, "odd.jsnl is of no known kind. Did you mean .jsonl?"),
        ([], {"bad": "empty.jsonl"}, FAILED, "empty.jsonl: empty file"),
        (["--text", "text"], {}, FAILED, "no field text; fields: body"),
    ],
)
def test_mistakes_are_one_line(sets, capsys, arguments, changed, code, said):
    (sets / "odd.jsnl").write_text("{}")
    (sets / "empty.jsonl").write_text("")
    assert command(sets, *arguments, **changed) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (sets / "m.bin").exists()
