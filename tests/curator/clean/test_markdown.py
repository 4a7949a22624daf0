"""Markdown's marks go, its text stays: against markdown-it, and by example."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from curator.clean.markdown import RemoveMarkdown
from tests.curator.clean.edits import cuts, left


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("# Title\n## Sub ##\n#tag #\n####### 7\n", "Title\nSub\n#tag #\n####### 7\n"),
        ("    # code", "    # code"),
        ("**bold**, *it*, ***both***, __b__, _i_", "bold, it, both, __b__, i"),  # __b__ may be a name of Python's
        ("__two words__ and __init__", "two words and __init__"),
        ("a * b * c, 2*3*4, snake_case_name, *args, **kw", "a * b * c, 2*3*4, snake_case_name, *args, **kw"),
        ("**a *b* c** *d", "a b c *d"),
        ("*a **b* c**", "a **b c**"),
        ('[text](http://a.org/x_(y) "t"), [t](<a b>), [no] (x), [ref][1]', "text, t, [no] (x), [ref][1]"),
        ("![alt](i.png) [![alt](i.png)](u) **[x](y)**", "alt alt x"),
        ("`*code*` ``a ` *b*`` *c* `d", "`*code*` ``a ` *b*`` c `d"),
        (r"\*no\* \[a](b) *yes*", r"\*no\* \[a](b) yes"),
        ("é *ü* [ö](x)\r\n# ä\r\n", "é ü ö\r\nä\r\n"),
        ("* item\n- **b**\n***\n> _q_", "* item\n- b\n***\n> q"),
    ],
)
def test_by_example(text, rest):
    assert left(RemoveMarkdown(), text) == [rest]


def test_code_is_kept_as_it_is():
    fences = "*a*\n```py\n# *b*\n~~~\n````\n*c*\n~~~~\n*d*\n~~~\n*e*\n~~~~ \n*f*\n```\n*g*"
    kept = "a\n```py\n# *b*\n~~~\n````\nc\n~~~~\n*d*\n~~~\n*e*\n~~~~ \nf\n```\n*g*"
    assert left(RemoveMarkdown(), fences, "*h*", "``` \n*i*\n```", "*j*") == [kept, "h", "``` \n*i*\n```", "j"]


def test_kinds_and_switches():
    text = "# *a* [b](c) ![d](e)"
    assert [why for _, why in cuts(RemoveMarkdown(), text)] == [
        "heading", "emphasis", "emphasis", "link", "link", "image", "image",
    ]  # fmt: skip
    assert left(RemoveMarkdown(headings=False, links=False), text) == ["# a [b](c) ![d](e)"]
    assert left(RemoveMarkdown(emphasis=False), text) == ["*a* b d"]


def plain(token) -> str:
    return "".join(plain(child) if child.children else child.content for child in token.children or ())


WORD = st.sampled_from(["word", "two words", "é", "a.b", "x"])
SPAN = st.recursive(
    WORD,
    lambda inner: st.one_of(
        inner.map("_{}_".format),
        inner.map("**{}**".format),
        inner.map("[{}](http://a.org/b_c)".format),
        inner.map('![{}](i.png "t")'.format),
        st.lists(inner, min_size=2, max_size=3).map(" ".join),
    ),
    max_leaves=5,
)


@given(st.lists(SPAN, min_size=1, max_size=4).map(", ".join), st.sampled_from(["", "# ", "### "]))
def test_well_formed_marks_against_markdown_it(line, lead):
    """Links in links are none in CommonMark, and it cuts runs of marks in two: without those, all is the same."""
    assume("__" not in line and "****" not in line and line.count("](http") < 2)
    parsed = MarkdownIt().parse(lead + line)
    assert left(RemoveMarkdown(), lead + line) == [plain(next(t for t in parsed if t.type == "inline"))]


@pytest.mark.parametrize("piece", ["*a ", "[", "](", "](a(b)", '](a "', "`", "``", "_a_ ", "**", "\\", "![x](y) "])
def test_hostile_lines_cost_no_more_than_their_length(piece):
    left(RemoveMarkdown(), piece * (200_000 // len(piece)))


def test_one_line_of_50_mb_is_left_alone():
    line = "*a* " * 12_500_000
    assert left(RemoveMarkdown(), line, None, "", "\0*a*") == [line, None, "", "\0a"]
