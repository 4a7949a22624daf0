"""Quality by language: what is judged where, the shipped table, and tables of one's own."""

from __future__ import annotations

import pandas as pd
import pytest
import yaml

from benchmarks import language_rules
from curator.errors import SpecError
from curator.filter import languages
from curator.filter.gopher import GopherQuality
from curator.filter.languages import MOST_WORDS, UNKNOWN, LanguageQuality, table
from curator.fingerprint import of_stage
from curator.run.batches import first_reasons
from tests.curator.filter.test_gopher import PROSE, generated

GERMAN = (
    "Es war einmal ein Müller, der war arm, aber er hatte eine schöne Tochter. Nun traf es sich, dass er mit dem "
    "König zu sprechen kam, und um sich ein Ansehen zu geben, sagte er zu ihm, dass die Tochter Stroh zu Gold "
    "spinnen könne. Das ist eine Kunst, die mir wohl gefällt, sprach der König, und wenn sie so geschickt ist, wie "
    "der Mann sagt, so bring sie morgen in das Schloss, da will ich sie auf die Probe stellen."
)
CHINESE = (
    "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。人人有资格享受本宣言所载的"
    "一切权利和自由,不分种族、肤色、性别、语言、宗教、政治或其他见解、国籍或社会出身、财产、出生或其他身分等任何区别。"
    "并且不得因一人所属的国家或领土的政治的、行政的或者国际的地位之不同而有所区别,无论该领土是独立领土、托管领土。"
)  # Universal Declaration of Human Rights, articles 1 and 2


def reasons(stage: LanguageQuality, texts: list[str | None], langs: list[str | None]) -> list[str]:
    frame = pd.DataFrame({"text": pd.Series(texts, dtype="str"), "lang": pd.Series(langs, dtype="str")})
    found = pd.Series("", index=frame.index)
    for reason, mask in first_reasons(stage.reject(stage.measure(frame))).items():
        found[mask.to_numpy(bool)] = reason
    return found.tolist()


@pytest.mark.parametrize(
    ("text", "lang", "reason"),
    [
        (PROSE, "en", ""),
        (GERMAN, "de", ""),
        (CHINESE, "zh", ""),
        (GERMAN, "fi", "few_stop_words"),
        (CHINESE, "en", "few_stop_words"),
        (CHINESE[:80], "zh", "few_words"),
        (PROSE * 3, "zh", "few_stop_words"),
        (GERMAN, "xx", ""),
        (GERMAN, None, ""),
        ("#" + GERMAN.replace(" ", " #"), "de", "hashes"),
        ("и да в се за от е с " * 20, "bg", "short_words"),
        (("Donaudampfschifffahrtsgesellschaft die und " * 60), "de", "long_words"),
        (GERMAN + " 1234" * 40, "de", "few_alpha_words"),
        (GERMAN + " 1234" * 40, "xx", ""),
        ("", "de", "few_words"),
        (None, "de", "few_words"),
        ("\x00" * 300, "zh", "few_words"),
    ],
)
def test_each_text_is_judged_by_its_language(text, lang, reason):
    assert reasons(LanguageQuality(), [text], [lang]) == [reason]


def test_unknown_languages_may_be_dropped():
    langs = ["de", "xx", None, UNKNOWN]
    unknown = "unknown_language"
    assert reasons(LanguageQuality(unknown="drop"), [GERMAN] * 4, langs) == ["", unknown, unknown, unknown]


def test_a_mix_of_languages_is_judged_as_each_text_alone():
    texts = [PROSE, GERMAN, CHINESE, None, "", "x", CHINESE + PROSE] * 5
    langs = ["en", "de", "zh", "xx", None, "th", "ja", "fi"] * 5
    together = reasons(LanguageQuality(), texts, langs[: len(texts)])
    alone = [reasons(LanguageQuality(), [t], [lang])[0] for t, lang in zip(texts, langs, strict=False)]
    assert together == alone
    assert len(set(together)) > 2


def test_english_is_judged_as_gopher_does():
    texts = generated(7, 400)
    ours, gopher = LanguageQuality(), GopherQuality()
    english = [word for word in texts if not any("\u3000" < c < "\ua000" for c in word)]
    frame = pd.DataFrame({"text": pd.Series(english, dtype="str")})
    masks = first_reasons(gopher.reject(gopher.measure(frame))).values()
    dropped = sum(mask.astype(int) for mask in masks).astype(bool).tolist()
    assert [bool(r) for r in reasons(ours, english, ["en"] * len(english))] == dropped
    assert 0 < sum(dropped) < len(dropped)


def test_the_ledger_names_the_limit_of_the_language():
    stage, text = LanguageQuality(), "Donaudampfschifffahrtsgesellschaft die und " * 60
    signals = stage.measure(pd.DataFrame({"text": [text, text], "lang": ["de", "fi"]}))
    evidence = stage.explain(signals, "long_words")
    assert evidence["threshold"].tolist() == [
        table("")["de"].max_mean_word_length,
        table("")["fi"].max_mean_word_length,
    ]
    assert evidence["value_text"].tolist() == ["de", "fi"]
    assert stage.explain(signals, "few_words")["threshold"] == 50


def test_the_table_holds_what_the_paper_says_of_english():
    english = table("")["en"]
    assert (english.min_mean_word_length, english.max_mean_word_length, english.min_alpha_words) == (3.0, 10.0, 0.8)
    assert english.stop_words == ("the", "be", "to", "of", "and", "that", "have", "with")


def test_every_language_of_the_table_has_stop_words():
    for name, row in table("").items():
        assert (name == UNKNOWN) == (not row.stop_words)
        assert len(set(row.stop_words)) == len(row.stop_words) <= MOST_WORDS
        assert all(word.split() == [word] for word in row.stop_words)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("de: {}", "has no row 'default'"),
        ("default: {}\nde: {stop_word: [a]}", r"no field stop_word\. Did you mean stop_words\?"),
        ("default: {}\nde: {min_alpha_words: much}", "must be"),
        ("- a", "is no table of languages"),
        ("{", "is no table of languages"),
        ("", "is no table of languages"),
        ("default: {}\nde: {words_for_english: 0}", "words_for_english above 0"),
        (f"default: {{}}\nde: {{stop_words: [{', '.join(map(str, 'x' * 1))}{', y' * 64}]}}", "at most 64"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "table.yaml"
    path.write_text(content)
    with pytest.raises(SpecError, match=message) as error:
        LanguageQuality(table=str(path)).check("")
    assert "\n" not in str(error.value)


def test_a_table_of_ones_own(tmp_path):
    path = tmp_path / "table.yaml"
    path.write_text(yaml.safe_dump({"default": {"min_alpha_words": 0.5}, "de": {"stop_words": ["König", "Müller,"]}}))
    stage = LanguageQuality(table=str(path))
    texts = [GERMAN, PROSE, PROSE + " 1" * 90]
    assert reasons(stage, texts, ["de", "de", "en"]) == ["", "few_stop_words", "few_alpha_words"]


@pytest.mark.realdata
def test_the_shipped_table_is_what_the_script_makes(shared):
    folder = shared / "data" / "langid"
    files = [folder / "lingua_sentences.tsv.gz", folder / "udhr2_paragraphs.tsv.gz"]
    made = language_rules.rules(*map(language_rules.texts, files))
    assert yaml.safe_load(language_rules.as_yaml(made)) == yaml.safe_load(
        (language_rules.Path(language_rules.languages.__file__).with_name("languages.yaml")).read_text()
    )


def test_a_table_that_changes_is_read_again_and_a_fingerprint_holds_ours_too(tmp_path, monkeypatch):
    place = tmp_path / "mine.yaml"
    stage = LanguageQuality(min_words=1, min_stop_words=1, table=str(place))
    place.write_text("default: {}\nen: {stop_words: [the]}\n")
    first = of_stage(stage)
    assert reasons(stage, ["the cat"], ["en"]) == [""]
    place.write_text("default: {}\nen: {stop_words: [cats]}\n")
    assert reasons(stage, ["the cat"], ["en"]) == ["few_stop_words"]
    assert of_stage(stage) != first
    shipped = of_stage(LanguageQuality())
    monkeypatch.setattr(languages, "place_of", lambda path: str(place))
    assert of_stage(LanguageQuality()) != shipped
