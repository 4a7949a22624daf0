"""FineWeb's filter: each rule, a reference in plain Python, and datatrove's decisions."""

import pytest

from curator.filter.fineweb import FineWebQuality
from curator.kernels.signals import SIGNALS
from curator.kernels.unicode import TERMINAL_PUNCTUATION
from tests.curator.filter.test_gopher import PROSE, first_reasons, generated, real_texts

REASONS = {
    "empty": "empty",
    "line_punct_ratio": "few_terminal_lines",
    "short_line_ratio": "short_lines",
    "char_dup_ratio": "duplicate_text_line_characters",
    "list_ratio": "newlines",
}  # datatrove's names -> ours


def reference(text: str | None) -> str:
    """Decide from the definitions alone."""
    lines = [line for line in (text or "").split("\n") if line and not line.isspace()]
    if not lines:
        return "empty"
    assert text is not None
    if sum(line[-1] in TERMINAL_PUNCTUATION for line in lines) / len(lines) < 0.12:
        return "few_terminal_lines"
    if sum(len(line) <= 30 for line in lines) / len(lines) > 0.67:
        return "short_lines"
    again = sum(len(line) for i, line in enumerate(lines) if line in lines[:i])
    if again / (len(text) - text.count("\n")) > 0.01:
        return "duplicate_text_line_characters"
    return "newlines" if text.count("\n") / len(text.split()) > 0.3 else ""


def test_signals_are_those_of_the_rules_and_of_the_kernel():
    stage = FineWebQuality()
    assert set(stage.signals) == {rule.signal for rule in stage.rules}
    assert all(SIGNALS[name][0] == kind for name, kind in stage.signals.items())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        (" \n\u3000\n\x1f", "empty"),
        (PROSE, ""),
        (PROSE + "\n" + PROSE[:-1] + "。\r", ""),
        (PROSE[:-1], "few_terminal_lines"),
        (PROSE + "\r", "few_terminal_lines"),
        (PROSE + " ", "few_terminal_lines"),
        ("\n".join(PROSE[i : i + 30] + "." for i in range(0, 240, 30)), ""),
        ("\n".join(PROSE[i : i + 29] + "." for i in range(0, 240, 30)), "short_lines"),
        ("\n".join("é" * 29 + "." for _ in range(5)), "short_lines"),
        (PROSE + "\n" + PROSE, "duplicate_text_line_characters"),
        (PROSE + "\n \n \n" + PROSE[::-1] + ".", ""),
        (PROSE + "\n" * 20, "newlines"),
        ("\x00" * 40 + "!", ""),
    ],
)
def test_drops(text, reason):
    assert first_reasons(FineWebQuality(), [text]) == [reason]
    assert reference(text) == reason


def test_decisions_are_those_of_the_reference():
    texts = [*generated(21, 3000), *(text.replace(" ", "\n", 9) for text in generated(22, 1000)), "", " ", "\n", None]
    texts += [PROSE + "\n" * many + text for many, text in zip(range(30), generated(24, 30), strict=True)]
    found = first_reasons(FineWebQuality(), texts)
    assert [i for i, text in enumerate(texts) if found[i] != reference(text)] == []
    assert set(found) == {*REASONS.values(), ""}


def compare_with_datatrove(monkeypatch, texts: list[str]) -> None:
    data = pytest.importorskip("datatrove.data")
    from datatrove.pipeline.filters import fineweb_quality_filter

    monkeypatch.setattr(fineweb_quality_filter, "split_into_words", lambda text, language: text.split())
    peer = fineweb_quality_filter.FineWebQualityFilter()
    answers = [peer.filter(data.Document(text=text, id="")) for text in texts]
    expected = ["" if answer is True else REASONS[answer[1]] for answer in answers]
    found = first_reasons(FineWebQuality(), texts)
    assert [i for i in range(len(texts)) if found[i] != expected[i]] == []
    kept = expected.count("")
    print(f"FineWebQuality: {len(texts)} compared, {kept} kept, {len(set(expected))} answers")
    assert 0 < kept < len(texts)


@pytest.mark.peer
def test_decisions_and_reasons_are_those_of_datatrove(monkeypatch):
    prose = [PROSE + "\n" + text for text in generated(23, 5000)]
    compare_with_datatrove(monkeypatch, [*generated(1, 10_000), *prose, "", " ", "\n"])


@pytest.mark.peer
@pytest.mark.realdata
def test_decisions_on_real_texts_are_those_of_datatrove(monkeypatch, shared):
    compare_with_datatrove(monkeypatch, real_texts(shared))
