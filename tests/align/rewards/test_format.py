"""The form of a completion."""

from __future__ import annotations

import pytest

from align.errors import AlignSettingsError
from align.rewards.format import Format, has_tags, is_json
from tests.align.rewards.made import completion


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<think>why</think><answer>4</answer>", True), (" <think>\n</think>\n\n<answer></answer>\n", True),
        ("<think>why</think>so <answer>4</answer>", False), ("<answer>4</answer><think>why</think>", False),
        ("<think>a</think><think>b</think><answer>4</answer>", False), ("<think>why<answer>4</answer></think>", False),
        ("Well: <think>why</think><answer>4</answer>", False), ("<think>why</think><answer>4</answer>.", False),
        ("<think>why</think><answer>4", False), ("", False),
        ("<think><answer></answer></think><answer>4</answer>", False),
    ],
)  # fmt: skip
def test_tags_stand_once_in_order_with_nothing_outside(text, kept):
    assert has_tags(text, ("think", "answer")) == kept


@pytest.mark.parametrize(
    ("text", "keys", "kept"),
    [
        ('{"a": 1}', (), True), ('{"a": 1}', ("a",), True), ('{"a": 1}', ("a", "b"), False), ("[1]", (), True),
        ("[1]", ("a",), False), ("{a: 1}", (), False), ("", (), False), ('Here:\n```json\n{"a": 1}\n```', ("a",), True),
        ("[" * 100_000, (), False), ("9" * 10_000, (), False), ('{"a": 1} and more', (), False),
    ],
)  # fmt: skip
def test_json(text, keys, kept):
    assert is_json(text, keys) == kept


def test_rules_count_together_or_each():
    texts = ["<a>4</a>", "<a>four</a>", "4", "four"]
    given = [completion(text, finished=text != "<a>four</a>") for text in texts]
    assert Format(pattern=r"\d", tags=("a",))(given) == [1, 0, 0, 0]
    shares = Format(pattern=r"\d", tags=("a",), finished=True, all_or_nothing=False)(given)
    assert shares == pytest.approx([1, 1 / 3, 2 / 3, 1 / 3])


def test_a_pattern_that_backtracks_for_ever_is_searched_at_once():
    assert Format(pattern=r"^(\w+\s?)*$")([completion("word " * 5000 + "!")]) == [0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [({}, "reward format has no rule"), ({"tags": ("<think>",)}, "tags are names without brackets"),
     ({"pattern": "(a"}, "is no regular expression"), ({"pattern": r"(a)\1"}, "more than linear time")],
)  # fmt: skip
def test_bad_settings(settings, said):
    with pytest.raises(AlignSettingsError, match=said):
        Format(**settings)
