"""Word comparison: nothing is lost, and what is marked differs."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from curator.report.worddiff import compare

texts = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=60).map(" ".join)


def words(runs, kind):
    return [word for run in runs if run.kind == kind for word in run.words]


@given(texts, texts)
def test_every_word_is_shown_or_counted_and_equal_words_are_equal(left, right):
    sides = compare(left, right)
    for text, runs in zip((left, right), sides, strict=True):
        assert sum(run.count for run in runs) == len(text.split())
        assert all(a.kind != "gap" or b.kind != "gap" for a, b in itertools.pairwise(runs))
    assert words(sides[0], "same") == words(sides[1], "same")


def test_one_changed_word_is_marked_with_a_few_words_around():
    text = [f"w{i}" for i in range(3000)]
    other = [*text[:2000], "changed", *text[2001:]]
    left, right = compare(" ".join(text), " ".join(other))
    assert words(left, "only") == ["w2000"]
    assert words(right, "only") == ["changed"]
    assert words(left, "same") == text[1988:2000] + text[2001:2013]
    assert [run.count for run in left if run.kind == "gap"] == [1988, 987]


def test_words_added_far_apart_are_all_found():
    text = [f"w{i}" for i in range(900)]
    left, right = compare(" ".join(text), " ".join(["first", *text, "last"]))
    assert words(left, "only") == []
    assert words(right, "only") == ["first", "last"]


def test_texts_that_differ_in_white_space_alone_are_the_same():
    left, right = compare("one  two\nthree", "one two three")
    assert [run.kind for run in left] == [run.kind for run in right] == ["same"]


def test_texts_with_nothing_in_common_are_shown_in_part():
    left, right = compare(" ".join(f"a{i}" for i in range(5000)), " ".join(f"b{i}" for i in range(9000)))
    assert len(words(left, "only")) == len(words(right, "only")) == 400
    assert left[-1].count == 4600
