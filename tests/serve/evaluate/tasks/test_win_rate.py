"""A model's answers against others, by a reward model and by a judge on a loopback port."""

import numpy as np
import pytest

from serve.errors import EvaluationError, ModelFolderError, ServeSettingsError
from serve.evaluate.interval import bootstrap, wilson
from serve.evaluate.local.language import Language
from serve.evaluate.local.reward import Reward
from serve.evaluate.tasks import make
from serve.model import find
from tests.align.rewards.server import served
from tests.serve.evaluate import made
from tests.serve.evaluate.judged import reward_model, write

QUESTIONS = ["count to nine", "the quick fox", "who jumps", "brown dog and lazy dog", "one", "from one to two"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    records = [{"prompt": one, "answer": f"say {one}", "category": "ab"[n % 2]} for n, one in enumerate(QUESTIONS)]
    return write(folder / "asked.jsonl", records)


@pytest.fixture(scope="module")
def rater(tmp_path_factory):
    return reward_model(tmp_path_factory.mktemp("rater"))


def run(subject, **settings):
    task = make("win_rate", {"max_tokens": 12, **settings})
    return task.run(subject, task.read())


def answers(subject):
    prompts = [subject.chat([{"role": "user", "content": one}]) for one in QUESTIONS]
    return subject.complete(prompts, 12, ())


def sides(body):
    text = body["messages"][0]["content"]
    return [text.partition(f"<answer_{one}>\n")[2].partition(f"\n</answer_{one}>")[0] for one in "ab"]


def test_a_reward_model_prefers_the_higher_score(language, rater, files):
    result = run(language, path=files, reward=rater)
    own, rates = answers(language), Reward.load(find(rater))
    prompts = [[{"role": "user", "content": one}] for one in QUESTIONS]
    gaps = np.array(rates.rewards([*zip(prompts, own)])) - np.array(
        rates.rewards([(prompt, f"say {one}") for prompt, one in zip(prompts, QUESTIONS)])
    )
    assert result.values["win_rate"].tolist() == (gaps > 0).tolist()
    assert result.measures["win_rate"].value == (gaps > 0).mean()
    assert result.measures["win_rate"].interval == bootstrap(result.values["win_rate"], 0)
    assert result.measures["win_rate/a"].value == (gaps > 0)[::2].mean()
    assert result.measures["length"].value == np.mean([len(one) for one in own])
    assert result.measures["other_length"].value == np.mean([len(f"say {one}") for one in QUESTIONS])


def test_the_same_model_twice_is_a_tie(language, base, rater, files):
    result = run(language, path=files, reward=rater, against=base)
    assert result.values["win_rate"].tolist() == [0.5] * 6
    assert result.counts["ties"] == 6
    assert result.measures["win_rate"].interval == wilson(3, 6)
    assert "longer_wins" not in result.measures


def test_two_models_the_other_way_round(language, base, rater, files, tmp_path):
    other = made.model(tmp_path / "other", seed=1, hidden=64)
    one = run(language, path=files, reward=rater, against=other)
    turned = run(Language.load(find(other)), path=files, reward=rater, against=base)
    assert one.values["win_rate"] == pytest.approx(1 - turned.values["win_rate"])
    assert one.measures["length"].value == turned.measures["other_length"].value
    assert one.measures["longer_wins"].value == turned.measures["longer_wins"].value


@pytest.mark.parametrize(
    ("prefers", "win_rate"),
    [(lambda a, b: "A" if b.startswith("say ") else "B", 1.0), (lambda a, b: "A", 0.5), (lambda a, b: "TIE", 0.5),
     (lambda a, b: "A" if a.startswith("say ") else "TIE", 0.25)],
)  # fmt: skip
def test_a_judge_sees_both_orders(language, files, prefers, win_rate):
    with served(lambda body: f"Better: {prefers(*sides(body))}") as server:
        result = run(language, path=files, judge=server.url, judge_model="m", rubric="Be brief.", limit=3)
        assert len(server.requests) == 6
        assert all("Be brief." in body["messages"][0]["content"] for body in server.requests)
    assert result.values["win_rate"].tolist() == [win_rate] * 3


def test_a_judge_who_likes_length_shows(language, files):
    with served(lambda body: "Better: A" if len(sides(body)[0]) > len(sides(body)[1]) else "Better: B") as server:
        result = run(language, path=files, judge=server.url, judge_model="m")
    assert result.measures["longer_wins"].value == 1.0


def test_a_judge_that_does_not_answer(language, files):
    with (
        served(lambda body: (401, b"no")) as server,
        pytest.raises(EvaluationError, match=r"win_rate: m at .* does not answer: HTTP status 401"),
    ):
        run(language, path=files, judge=server.url, judge_model="m")


def test_preference_files_give_the_chosen_side_as_reference(language, rater, tmp_path):
    path = write(tmp_path / "a.jsonl", [{"prompt": "x", "chosen": "fox", "rejected": "dog"}])
    assert run(language, path=path, reward=rater).samples[0]["answers"][1]["text"] == "fox"


@pytest.mark.parametrize(
    ("settings", "said"),
    [({}, "either reward"), ({"reward": "x", "judge": "http://x/v1"}, "either reward"),
     ({"judge": "http://x/v1"}, "needs judge_model"), ({"judge": "x", "judge_model": "m"}, "must be like http"),
     ({"reward": "x", "max_tokens": 0}, "max_tokens is 1 or more")],
)  # fmt: skip
def test_bad_settings(settings, said):
    with pytest.raises(ServeSettingsError, match=said):
        make("win_rate", {"path": "x.jsonl", **settings})


def test_what_is_missing_is_said_before_a_model_runs(base, rater, files, tmp_path):
    bare = write(tmp_path / "bare.jsonl", [{"prompt": "x", "answer": "y"}, {"prompt": "x"}])
    with pytest.raises(EvaluationError, match=r"bare.jsonl:2: no answer to compare with"):
        make("win_rate", {"path": bare, "reward": rater}).read()
    make("win_rate", {"path": bare, "reward": rater, "against": base}).read()
    with pytest.raises(ServeSettingsError, match="is a language model, no reward model"):
        make("win_rate", {"path": files, "reward": base}).read()
    with pytest.raises(ServeSettingsError, match="is a reward model, no language model"):
        make("win_rate", {"path": files, "reward": rater, "against": rater}).read()
    with pytest.raises(ModelFolderError, match="does not exist"):
        make("win_rate", {"path": files, "reward": str(tmp_path / "none")}).read()


def test_a_reward_model_answers_nothing(rater, files):
    with pytest.raises(EvaluationError, match="this task needs a language model"):
        run(Reward.load(find(rater)), path=files, reward=rater)
