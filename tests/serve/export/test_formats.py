"""Formats by their names, and what is said of them."""

from __future__ import annotations

import dataclasses

import pytest

from millrace.errors import ConfigError
from serve.errors import ServeSettingsError
from serve.export.formats import FORMATS, format_named, listed, settings_of


def test_the_list_has_every_field_with_its_default_and_its_comment():
    lines = listed().splitlines()
    fields = sum(len(dataclasses.fields(one)) for one in FORMATS.values())
    assert len(lines) == fields + len(FORMATS)
    assert all(len(line.split(None, 1)) == 2 for line in lines)  # none is without words
    assert any(line.split() == ["tp=1", "GPUs", "that", "share", "every", "layer"] for line in lines)
    assert any(line.startswith("    group=128 ") and "inputs that share a scale" in line for line in lines)


def test_a_format_is_told_as_it_is_set():
    assert settings_of(format_named("hf")) == "hf"
    given = ["tp=2", "parallel_embedding=false"]
    assert settings_of(format_named("trtllm", given)) == "trtllm tp=2 parallel_embedding=false"


def test_the_card_names_transformers_only_where_it_opens_the_folder():
    opens = {name for name, one in FORMATS.items() if one.library == "transformers"}
    assert opens == {"hf", "fp8-dynamic"}


def test_a_wrong_value_names_the_format_and_no_class():
    with pytest.raises(ConfigError, match=r"^hf: dtype is 16; it must be str$"):
        format_named("hf", ["dtype=16"])


def test_text_for_weights_that_are_not_measured_is_refused():
    with pytest.raises(ServeSettingsError, match=r"calibrate is nofile\.txt, but nothing is measured"):
        format_named("trtllm", ["calibrate=nofile.txt"])
