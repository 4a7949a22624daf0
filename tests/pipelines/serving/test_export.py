"""`millrace export`: what it lists, plans and refuses."""

from __future__ import annotations

from pipelines.cli import main
from tests.align import tiny


def test_the_formats_are_listed_without_a_model(capsys):
    assert main(["export", "--list"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("hf ")
    assert "    shard_bytes=" in said


def test_a_plan_speaks_of_settings_and_says_what_it_does_not_count(tmp_path, capsys):
    tiny.model(tmp_path / "llama", "llama", hidden=64)
    assert main(["export", str(tmp_path / "llama"), "--to", "hf", "--set", "dtype=bfloat16", "--plan"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "format     hf dtype=bfloat16" in lines
    assert lines[-1].endswith("not counted")


def test_a_model_and_a_format_must_be_named(capsys):
    assert main(["export", "--to", "hf"]) == 2
    assert "--list says which there are" in capsys.readouterr().err
