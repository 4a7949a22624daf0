"""Pipelines as YAML and back, with settings changed on the way."""

from __future__ import annotations

import pytest

import curator
from curator import Pipeline, spec
from curator.errors import SpecError
from curator.stage import Stage


def test_the_public_stages_are_all_stages_and_no_more():
    known = spec.stages()
    assert set(known) == set(curator.__all__) - {"Pipeline", "profile", "TrainQualityClassifier"}
    assert all(issubclass(stage, Stage) for stage in known.values())


@pytest.mark.parametrize(
    "item", ["FuzzyDedup", {"FuzzyDedup": None}, {"FuzzyDedup": {}}, {"FuzzyDedup": {"jaccard": 0.8, "keep": "first"}}]
)
def test_a_stage_can_be_said_in_short(item):
    assert spec.stage_from_spec(item) == curator.FuzzyDedup()


@pytest.mark.parametrize("item", [None, 3, [], ["FuzzyDedup"], {}, {"a": {}, "b": {}}, {3: {}}, {None: None}])
def test_what_is_no_stage_is_refused(item):
    with pytest.raises(SpecError, match="is no stage; write Name"):
        spec.stage_from_spec(item)
    with pytest.raises(SpecError, match="is no stage; write Name"):
        spec.with_settings([item], [])


@pytest.mark.parametrize("values", [[1], "x", 3, [], False])
def test_settings_are_a_mapping(values):
    with pytest.raises(SpecError, match=r"FuzzyDedup: its settings are .*; they must be a mapping"):
        spec.stage_from_spec({"FuzzyDedup": values})


@pytest.mark.parametrize("given", [None, [], {}, "ReadJsonl"])
def test_a_pipeline_is_a_list(given):
    with pytest.raises(SpecError, match="a pipeline is a list of stages"):
        spec.from_spec(given)


def test_every_field_is_said_and_read_back():
    import yaml

    pipeline = Pipeline([curator.ReadJsonl({"a": ["x", "y"]}, keep=("n:int64",)), curator.FuzzyDedup(jaccard=0.7)])
    said = yaml.safe_load(spec.dump(pipeline))
    assert said[1]["FuzzyDedup"]["bands"] == 14
    assert spec.from_spec(said) == pipeline
    assert spec.to_spec(spec.from_spec(said)) == said


def test_settings_change_one_field_each_and_leave_what_they_were_given():
    given = ["ReadJsonl", {"FuzzyDedup": {"bands": 3}}, {"ExactDedup": None}]
    settings = ["FuzzyDedup.jaccard=0.5", "FuzzyDedup.keep=longest", "ReadJsonl.path=[a, b]", "FuzzyDedup.jaccard=0.6"]
    assert spec.with_settings(given, settings) == [
        {"ReadJsonl": {"path": ["a", "b"]}},
        {"FuzzyDedup": {"bands": 3, "jaccard": 0.6, "keep": "longest"}},
        {"ExactDedup": {}},
    ]
    assert given == ["ReadJsonl", {"FuzzyDedup": {"bands": 3}}, {"ExactDedup": None}]


def test_a_value_may_hold_an_equals_sign():
    (item,) = spec.with_settings(["ReadJsonl"], ["ReadJsonl.path=s3://bucket/a=b.jsonl"])
    assert item == {"ReadJsonl": {"path": "s3://bucket/a=b.jsonl"}}


def test_a_setting_of_a_stage_that_stands_twice_is_refused():
    given = [{"ReadJsonl": {"path": "x"}}, "ExactDedup", "FixUnicode", "ExactDedup"]
    with pytest.raises(SpecError, match="has 2 of ExactDedup"):
        spec.with_settings(given, ["ExactDedup.x=1"])
