"""Boilerplate paragraphs at the edges of texts, against plain Python."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from curator.clean.boilerplate import RemoveBoilerplate
from tests.curator.clean.edits import batch, cuts, left


def reference(text: str, where: str) -> str:
    """Cut paragraphs of plain texts, whose blank lines are empty."""
    if "lorem ipsum" in text.lower():
        return ""
    paragraphs = re.split(r"(?<=\n\n)(?=[^\n])", text.lstrip("\n"))
    rest = text[: len(text) - len(text.lstrip("\n"))]
    policy = ["terms of use" in p.lower() or "use cookies" in p.lower() for p in paragraphs]
    if all(policy):
        return text
    for i, paragraph in enumerate(paragraphs):
        if not policy[i] or (where == "edges" and not (all(policy[:i]) or all(policy[i + 1 :]))):
            rest += paragraph
    return rest


TEXTS = st.lists(
    st.sampled_from(["Terms of use", "we USE COOKIES", "prose", "é", "Lorem ipsum", "\n", "\n\n", "\n\n\n"])
)


@given(st.lists(TEXTS.map("x".join), max_size=5), st.sampled_from(["edges", "anywhere"]))
def test_against_plain_python(texts, where):
    texts = [re.sub("x(?=\n)|(?<=\n)x", "", text) for text in texts]
    stage = RemoveBoilerplate(where=where, phrases=("terms of use", "use cookies"))
    assert left(stage, *texts) == [reference(text, where) for text in texts]


def test_by_example():
    text = "Terms of Use apply\r\n\r\nBody\nmore body\n\nWe use cookies.\n\nBody\n\nPrivacy policy\n \nCookie policy"
    assert cuts(RemoveBoilerplate(), text) == [
        ("Terms of Use apply\r\n\r\n", "policy"), ("Privacy policy\n \n", "policy"), ("Cookie policy", "policy"),
    ]  # fmt: skip
    assert ("We use cookies.\n\n", "policy") in cuts(RemoveBoilerplate(where="anywhere"), text)


def test_a_placeholder_drops_the_text_and_a_text_of_policies_alone_stays():
    stage = RemoveBoilerplate()
    frame = batch(["Our privacy policy", "a\n\nLorem Ipsum dolor\n\nb", "prose", "", None])
    assert stage.reject(stage.measure(frame))["nothing_left"].fillna(False).tolist() == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert cuts(stage, "Our privacy policy\n\nuses cookies") == []
    assert cuts(RemoveBoilerplate(phrases=(), placeholders=()), "Lorem ipsum\n\nterms of use") == []


def test_a_paragraph_may_be_a_line():
    text = "We use cookies\nBody\nTerms of use\nBody\n"
    assert cuts(RemoveBoilerplate(), text) == []
    assert cuts(RemoveBoilerplate(unit="line"), text) == [("We use cookies\n", "policy")]


def test_one_line_of_50_mb():
    line = "no boilerplate here, "
    texts = [line * 2_400_000, "a\n\n" + line * 2_400_000 + "use cookies"]
    assert left(RemoveBoilerplate(), *texts) == [texts[0], "a\n\n"]
