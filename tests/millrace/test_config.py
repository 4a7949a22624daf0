"""Settings become what a field says they are, or an error that helps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from millrace.config import build, convert, did_you_mean
from millrace.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    path: Any
    words: int
    share: float = 0.5
    name: str = ""
    exact: bool = False
    keep: tuple[str, ...] = ()
    limit: int | None = None
    policy: Literal["first", "longest"] = "first"
    weights: dict[str, float] = field(default_factory=dict)
    derived: int = field(default=3, init=False)


def test_values_become_what_the_fields_say():
    given = {"path": [1], "words": 3, "share": 1, "keep": ["a"], "weights": {"a": 2}, "policy": "longest", "limit": 4}
    assert build(Settings, given) == Settings([1], 3, 1.0, "", False, ("a",), 4, "longest", {"a": 2.0})
    assert build(Settings, {"path": None, "words": 0, "limit": None}) == Settings(None, 0)
    assert isinstance(build(Settings, {"path": 0, "words": 1, "share": 1}).share, float)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("words", "3", "Settings.words is '3'; it must be int"),
        ("words", 3.0, "int"),
        ("words", True, "Settings.words is True; it must be int"),
        ("words", None, "None"),
        ("share", "high", "float"),
        ("share", True, "float"),
        ("share", float("nan"), "Settings.share is nan; it must be float"),
        ("name", 3, "str"),
        ("exact", 1, "bool"),
        ("exact", "yes", "bool"),
        ("keep", "en", "tuple"),
        ("keep", ["en", 3], "Settings.keep is 3; it must be str"),
        ("limit", "4", "int | None"),
        ("policy", "lngest", r"one of \['first', 'longest'\]. Did you mean longest"),
        ("policy", ["first"], "one of"),
        ("weights", {"a": "b"}, "float"),
        ("weights", ["a"], "dict"),
    ],
)
def test_a_value_of_another_type_is_named(name, value, words):
    with pytest.raises(ConfigError, match=words):
        build(Settings, {"path": "", "words": 1, name: value})


def test_a_field_that_does_not_exist_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"Settings has no field wrods\. Did you mean words\? Fields: exact, keep"):
        build(Settings, {"wrods": 3})
    with pytest.raises(ConfigError, match="no field 3"):
        build(Settings, {3: 3})
    with pytest.raises(ConfigError, match="no field derived"):
        build(Settings, {"derived": 3})


def test_fields_that_are_missing_are_named():
    with pytest.raises(ConfigError, match=r"^Settings needs path, words$"):
        build(Settings, {})
    with pytest.raises(ConfigError, match=r"^Settings needs words$"):
        build(Settings, {"path": ""})


def test_an_error_of_the_class_itself_stays_as_it_is():
    @dataclass
    class Broken:
        x: int = 0

        def __post_init__(self):
            raise TypeError("our own mistake")

    with pytest.raises(TypeError, match="our own mistake"):
        build(Broken, {"x": 1})


def test_converting_is_stable():
    for hint, value in ((tuple[int, ...], [1, 2]), (float, 1), (dict[str, float], {"a": 1}), (int | None, None)):
        once = convert(value, hint, "x")
        assert convert(once, hint, "x") == once


def test_did_you_mean_is_silent_where_nothing_is_near():
    assert did_you_mean("jacard", ["jaccard", "bands"]) == " Did you mean jaccard?"
    assert did_you_mean("zebra", ["jaccard", "bands"]) == ""
    assert did_you_mean("x", []) == ""
