"""Profiles: every limit is said with its source, and what they say can be built."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

import curator
from curator import Pipeline, ReadJsonl, profiles, spec
from curator.edit import Edit
from curator.errors import SpecError
from curator.stage import Filter
from pipelines import recipes
from pipelines.describe import describe_profile, list_profiles


@pytest.mark.parametrize("name", profiles.names())
def test_every_limit_is_said_with_its_source(name):
    for stage, said in profiles.load(name).stages:
        kind = spec.stages()[stage]
        assert issubclass(kind, Filter)
        limits = {field.name for field in dataclasses.fields(kind) if field.name.startswith(("min_", "max_"))}
        if issubclass(kind, Edit):
            limits -= {"max_cut", "min_characters"}  # of every edit
        assert limits <= set(said), f"{stage} leaves to its defaults: {sorted(limits - set(said))}"
        assert all(source for _, source in said.values())


@pytest.mark.parametrize("name", profiles.names())
def test_a_profile_is_a_recipe_and_round_trips(name, tmp_path):
    (tmp_path / "x.jsonl").write_text('{"text": "a"}\n')
    pipeline = recipes.load(name, [str(tmp_path / "x.jsonl")], [])
    assert pipeline.stages[1:] == curator.profile(name)
    assert spec.from_spec(yaml.safe_load(spec.dump(pipeline))) == pipeline


def test_a_profile_stands_in_a_pipeline_and_is_set_as_its_stages_are():
    items = [{"ReadJsonl": {"path": "x"}}, {"profile": "gopher-paper"}, "ExactDedup"]
    made = spec.from_spec(spec.with_settings(items, ["GopherQuality.min_words=7"]))
    assert [type(stage).__name__ for stage in made.stages] == [
        "ReadJsonl", "GopherQuality", "GopherRepetition", "ExactDedup",
    ]  # fmt: skip
    assert made.stages[1].min_words == 7
    quality, repetition = curator.profile("gopher-paper")
    assert spec.from_spec(items) == Pipeline([ReadJsonl("x"), quality, repetition, curator.ExactDedup()])


def test_an_unknown_profile_is_named():
    with pytest.raises(SpecError, match=r"no profile is called gopher-papr\. Did you mean gopher-paper\? Profiles: "):
        curator.profile("gopher-papr")
    with pytest.raises(SpecError, match=r"no profile is called \['a'\]"):
        spec.from_spec([{"profile": ["a"]}])
    with pytest.raises(SpecError, match=r"no recipe is called finewb\..* profiles: "):
        recipes.load("finewb", ["x.jsonl"], [])


def test_profiles_are_described():
    assert [line.split()[0] for line in list_profiles().splitlines()] == profiles.names()
    assert "min_words             50          A.1.1: between 50" in describe_profile("gopher-paper")
