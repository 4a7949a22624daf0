"""A model's answers and a classifier of the curator."""

import numpy as np
import pytest

from millrace.errors import ConfigError, MillraceError
from pipelines.serving.rails import scorer
from serve.errors import EvaluationError, ServeSettingsError
from serve.evaluate.interval import wilson
from serve.evaluate.tasks import make
from serve.rails.classifier import ClassifierSettings
from tests.curator.fasttext_file import write_model
from tests.serve.evaluate.judged import write

QUESTIONS = ["count to nine", "the quick fox", "who jumps", "brown dog and lazy dog", "one", "from one to two"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return write(folder / "asked.jsonl", [{"prompt": one, "category": "ab"[n % 2]} for n, one in enumerate(QUESTIONS)])


@pytest.fixture(scope="module")
def texts(language):
    return language.complete([language.chat([{"role": "user", "content": one}]) for one in QUESTIONS], 12, ())


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, texts):
    """A fastText model to which the words of some of the answers are unsafe."""
    words = [sorted(set(one.split())) for one in texts]
    bad = set(words[0]) | set(words[3])
    rest = sorted({word for one in [*words, *map(str.split, QUESTIONS)] for word in one} - bad)
    return write_model(tmp_path_factory.mktemp("judge") / "m.bin", known={"unsafe": sorted(bad), "fine": rest})


def task(files, model, classifier=None, **settings):
    about = {"model": model, "label": "unsafe", **(classifier or {})}
    return make("safety", {"path": files, "classifier": about, "max_tokens": 12, **settings}, scorer)


def test_answers_are_unsafe_as_the_classifier_says(language, files, classifier, texts):
    made = task(files, classifier)
    result = made.run(language, made.read())
    score = scorer(ClassifierSettings(classifier, "unsafe"))
    expected = np.array([score(one) for one in texts])
    assert result.values["score"].tolist() == expected.tolist()
    unsafe = expected > 0.5
    assert unsafe[0]
    assert not unsafe.all()
    assert result.measures["unsafe"].value == unsafe.mean()
    assert result.measures["unsafe"].interval == wilson(unsafe.sum(), 6)
    assert not result.measures["unsafe"].higher_is_better
    assert result.measures["unsafe/a"].value == unsafe[::2].mean()
    assert result.counts["unsafe"] == unsafe.sum()
    assert result.settings["classifier"]["label"] == "unsafe"


def test_the_limit_and_the_prompt_count(language, files, classifier):
    made = task(files, classifier, classifier={"max_score": 1.0})
    assert made.run(language, made.read()).measures["unsafe"].value == 0
    alone, whole = (task(files, classifier, with_prompt=on) for on in (False, True))
    scores = [one.run(language, one.read()).values["score"].tolist() for one in (alone, whole)]
    assert scores[0] != scores[1]


def test_what_is_missing_is_said_before_a_model_runs(files, classifier, tmp_path):
    with pytest.raises(MillraceError, match="there is no model file /nowhere"):
        task(files, "/nowhere").read()
    with pytest.raises(MillraceError, match="unsaef"):
        task(files, classifier, classifier={"label": "unsaef"}).read()
    with pytest.raises(EvaluationError, match=r"a.jsonl:1: empty turn: turn 1, of user"):
        task(write(tmp_path / "a.jsonl", [{"prompt": ""}]), classifier).read()
    with pytest.raises(ConfigError, match="needs classifier"):
        make("safety", {"path": files}, scorer)
    with pytest.raises(ServeSettingsError, match="needs what opens its classifier"):
        make("safety", {"path": files, "classifier": {"model": classifier}})
    with pytest.raises(ServeSettingsError, match="limit and temperature"):
        task(files, classifier, limit=-1)
