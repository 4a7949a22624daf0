"""Gopher's filters: the paper's numbers, each rule, and datatrove's decisions."""

import dataclasses
import gzip
import json
import random
import statistics
from pathlib import Path

import pandas as pd
import pytest

from curator.errors import SpecError
from curator.filter.gopher import VARIANTS, GopherQuality, GopherRepetition
from curator.kernels.signals import SIGNALS

REASONS = {
    "gopher_short_doc": "few_words",
    "gopher_long_doc": "many_words",
    "gopher_below_avg_threshold": "short_words",
    "gopher_above_avg_threshold": "long_words",
    "gopher_too_many_hashes": "hashes",
    "gopher_too_many_ellipsis": "ellipses",
    "gopher_too_many_bullets": "bullet_lines",
    "gopher_too_many_end_ellipsis": "ellipsis_lines",
    "gopher_below_alpha_threshold": "few_alpha_words",
    "gopher_enough_stop_words": "few_stop_words",
    "empty": "empty",
    "dup_para_frac": "duplicate_paragraphs",
    "dup_para_char_frac": "duplicate_paragraph_characters",
    "dup_line_frac": "duplicate_lines",
    "dup_line_char_frac": "duplicate_line_characters",
    **{f"top_{n}_gram": f"top_{n}_gram_characters" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"duplicate_{n}_gram_characters" for n in range(5, 11)},
}  # datatrove's names -> ours
STOPS = {"the", "be", "to", "of", "and", "that", "have", "with"}
PAPER = GopherQuality(words_counted="all")
DOLMA = GopherQuality(
    words_counted="all", word_length="median", symbols_counted="words", lines="newlines", stop_words_counted="all"
)
PROSE = (
    "It was the best of times to be alive and the worst of them that people have ever met with in a "
    "long while: nobody knew quite what would come next, so most stayed at home, read old letters, "
    "mended their coats, counted silver spoons twice over, then went early to bed while rain fell softly."
)


def first_reasons(stage, texts: list[str | None]) -> list[str]:
    """Return the reason each text is dropped for, "" where it is kept."""
    signals = stage.measure(pd.DataFrame({"text": pd.Series(texts, dtype="str")}))
    reasons = pd.Series("", index=signals.index, dtype="str")
    for reason, mask in stage.reject(signals).items():
        reasons[mask & (reasons == "")] = reason
    return reasons.tolist()


@pytest.mark.parametrize("stage", [GopherQuality(), PAPER, DOLMA, GopherRepetition()])
def test_signals_are_those_of_the_rules_and_of_the_kernel(stage):
    assert set(stage.signals) == {rule.signal for rule in stage.rules}
    assert all(SIGNALS[name][0] == kind for name, kind in stage.signals.items())


def test_prose_is_kept():
    assert first_reasons(GopherQuality(), [PROSE]) == [""]
    assert first_reasons(GopherRepetition(), [PROSE]) == [""]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "few_words"),
        ("", "few_words"),
        ("... ! ?" * 60, "few_words"),
        ("be of it " * 20, "short_words"),
        ("the be " + "extraordinarily " * 60, "long_words"),
        (PROSE + " a#" * 7, "hashes"),
        (PROSE + " a... b" * 9, "ellipses"),
        ("\n".join("• " + word + " thing" for word in PROSE.split()), "bullet_lines"),
        (PROSE + "…\n" + PROSE, "ellipsis_lines"),
        (PROSE + " 1234" * 20, "few_alpha_words"),
        ("several words without any glue " * 12, "few_stop_words"),
    ],
)
def test_quality_drops(text, reason):
    assert first_reasons(GopherQuality(), [text]) == [reason]


def test_many_words_are_dropped():
    assert first_reasons(GopherQuality(max_words=49), [PROSE]) == ["many_words"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "empty"),
        ("", "empty"),
        (" ", ""),
        ("one\n\none", "duplicate_paragraphs"),
        ("a\n\n" * 2 + PROSE.replace(", ", "\n\n") + ("\n\n" + PROSE) * 2, "duplicate_paragraph_characters"),
        ("a\na\nb", "duplicate_lines"),
        (PROSE.replace(" ", "\n", 12) + ("\n" + PROSE[:100]) * 2, "duplicate_line_characters"),
        ("two words", "top_2_gram_characters"),
    ],
)
def test_repetition_drops(text, reason):
    assert first_reasons(GopherRepetition(), [text]) == [reason]


def test_table_a1():
    stage = GopherRepetition()
    assert [
        stage.max_top_2_gram_characters,
        stage.max_top_3_gram_characters,
        stage.max_top_4_gram_characters,
    ] == [
        0.20,
        0.18,
        0.16,
    ]
    assert [getattr(stage, f"max_duplicate_{n}_gram_characters") for n in range(5, 11)] == [
        0.15,
        0.14,
        0.13,
        0.12,
        0.11,
        0.10,
    ]


def generated(seed: int, many: int) -> list[str]:
    """Texts near the limits of both filters: prose with more or less of each thing a rule looks at."""
    choose, texts = random.Random(seed), []
    words = PROSE.split() + [f"word{i}" for i in range(300)]
    noise = [
        "#",
        "...",
        "…",
        "•",
        "- ",
        "\n",
        "\n\n",
        "\n \n",
        "\r\n",
        "\u2028",
        "\x85",
        "\u00a0",
        "中",
        "。",
        "12",
        "x.y",
    ]
    for _ in range(many):
        share, copies = choose.choice([0, 0.02, 0.1, 0.4]), choose.choice([0, 0, 1, 3, 9])
        parts = [
            choose.choice(noise) if choose.random() < share else choose.choice(words)
            for _ in range(choose.choice([0, 2, 40, 70, 200]))
        ]
        for _ in range(copies if parts else 0):
            start = choose.randrange(len(parts))
            parts += ["\n\n", *parts[start : start + choose.randrange(30)], choose.choice(["\n", " "])]
        texts.append(choose.choice(["", "", "\n", "- "]) + choose.choice([" ", " ", "\n"]).join(parts))
    return texts


def prose_like(text: str, by_median: bool, symbols: list[float], lines: list[str], marks: tuple, stops: int) -> bool:
    """A.1.1, given what counts as a symbol, a line, a bullet, an ellipsis and a stop word."""
    words, (bullets, ellipses) = text.split(), marks
    lengths = [len(word) for word in words]
    return (
        50 <= len(words) <= 100_000
        and 3 <= (statistics.median(lengths) if by_median else sum(lengths) / len(words)) <= 10
        and max(symbols) / len(words) <= 0.1
        and sum(line.startswith(bullets) for line in lines) / len(lines) <= 0.9
        and sum(line.endswith(ellipses) for line in lines) / len(lines) <= 0.3
        and sum(any(c.isalpha() for c in word) for word in words) / len(words) >= 0.8
        and stops >= 2
    )


def paper(text: str) -> bool:
    symbols = [text.count("#"), text.count("...") + text.count("…")]
    lines = [line.strip() for line in text.splitlines()]
    return prose_like(text, False, symbols, lines, (("•", "-"), ("...", "…")), len(set(text.split()) & STOPS))


def dolma(text: str) -> bool:
    symbols = [sum("#" in word or "…" in word for word in text.split())]
    stops = sum(word in STOPS for word in text.split())
    return prose_like(text, True, symbols, text.split("\n"), (("*", "-"), ("…",)), stops)


@pytest.mark.parametrize(("stage", "reference"), [(PAPER, paper), (DOLMA, dolma)])
def test_variants_decide_as_their_definitions_say(stage, reference):
    texts = generated(31, 3000)
    kept = [reason == "" for reason in first_reasons(stage, texts)]
    assert kept == [reference(text) for text in texts]
    assert kept != [reason == "" for reason in first_reasons(GopherQuality(), texts)]
    assert 0 < sum(kept) < len(texts)


def test_a_variant_says_its_own_values():
    text = "a be of " * 20 + "extraordinarily " * 15
    signals = DOLMA.measure(pd.DataFrame({"text": [text]}))
    assert first_reasons(DOLMA, [text]) == ["short_words"]
    explained = DOLMA.explain(signals, "short_words")
    assert (explained["value"].tolist(), explained["threshold"]) == ([2.0], 3.0)
    assert "mean_word_length" not in DOLMA.signals
    words = PROSE + " !" * 60
    assert PAPER.measure(pd.DataFrame({"text": [words]}))["words"].tolist() == [len(words.split())]


def test_the_median_of_some_words_is_refused():
    with pytest.raises(SpecError, match="words_counted must be all"):
        GopherQuality(word_length="median")


def test_variants_name_fields_and_signals_that_are_there():
    fields = {field.name for field in dataclasses.fields(GopherQuality)}
    assert {field for field, _ in VARIANTS} <= fields
    assert {name for signals in VARIANTS.values() for pair in signals.items() for name in pair} <= set(SIGNALS)


def real_texts(shared: Path) -> list[str]:
    folder, texts = shared / "data" / "text_en", []
    for path in sorted(folder.glob("*.jsonl*")):
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            texts += [str(json.loads(line).get("text") or "") for line in lines]
    for path in sorted((folder / "books").iterdir()):
        texts += [path.read_text(), *path.read_text().split("\n\n")]
    return texts


def compare_with_datatrove(monkeypatch, texts: list[str], words: str = "spaces") -> None:
    data = pytest.importorskip("datatrove.data")
    if words == "datatrove":
        pytest.importorskip("spacy")
    from datatrove.pipeline.filters import gopher_quality_filter, gopher_repetition_filter

    for module in (gopher_quality_filter, gopher_repetition_filter) if words == "spaces" else ():
        monkeypatch.setattr(module, "split_into_words", lambda text, language: text.split())
    for stage, peer in (
        (GopherQuality(words=words), gopher_quality_filter.GopherQualityFilter()),
        (GopherRepetition(words=words), gopher_repetition_filter.GopherRepetitionFilter()),
    ):
        answers = [peer.filter(data.Document(text=text, id="")) for text in texts]
        expected = ["" if answer is True else REASONS[answer[1]] for answer in answers]
        found = first_reasons(stage, texts)
        assert [i for i in range(len(texts)) if found[i] != expected[i]] == []
        kept = expected.count("")
        print(f"{type(stage).__name__}: {len(texts)} compared, {kept} kept, {len(set(expected))} answers")
        assert 0 < kept < len(texts)


@pytest.mark.peer
def test_decisions_and_reasons_are_those_of_datatrove(monkeypatch):
    compare_with_datatrove(monkeypatch, [*generated(1, 20_000), "", " ", "\n"])


@pytest.mark.peer
def test_decisions_by_its_own_words_are_those_of_datatrove(monkeypatch):
    texts = [text.replace(" and ", " don't (see: x): - ) ") for text in generated(2, 1500)]
    compare_with_datatrove(monkeypatch, [*texts, "", " ", "\n"], "datatrove")


@pytest.mark.peer
@pytest.mark.realdata
def test_decisions_on_real_texts_by_its_own_words_are_those_of_datatrove(monkeypatch, shared):
    compare_with_datatrove(monkeypatch, random.Random(1).sample(real_texts(shared), 300), "datatrove")


@pytest.mark.peer
@pytest.mark.realdata
def test_decisions_on_real_texts_are_those_of_datatrove(monkeypatch, shared):
    compare_with_datatrove(monkeypatch, real_texts(shared))
