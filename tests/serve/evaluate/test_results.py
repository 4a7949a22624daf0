"""What a result's key holds, and what a model is."""

import pytest

from serve.evaluate.content import content
from serve.evaluate.local.settings import LocalSettings
from serve.evaluate.results import key_of, run_facts
from serve.evaluate.tasks import make
from tests.serve.evaluate import made
from tests.serve.evaluate.judged import reward_model, write

FILES, MODEL, RUN = {"a.jsonl": "1", "examples: b.jsonl": "2"}, {"weights": "w"}, run_facts(LocalSettings())


def key(files=FILES, run=RUN, **settings):
    return key_of("mmlu", {"path": "x", "shots": 5, **settings}, files, MODEL, run)


@pytest.mark.parametrize(
    "files",
    [
        {"b.jsonl": "2", "examples: a.jsonl": "1"}, {"a.jsonl": "2", "examples: b.jsonl": "1"},
        {"a.jsonl": "1", "b.jsonl": "2"}, {"examples: b.jsonl": "2", "a.jsonl": "1"}, {**FILES, "reward: r": "3"},
    ],
)  # fmt: skip
def test_the_same_files_in_other_roles_or_orders_are_others(files):
    assert key(files) != key()


def test_a_key_holds_what_can_change_an_answer_and_not_where_files_lie():
    assert key(path="y") == key({f"/else/{name}" if ":" not in name else name: one for name, one in FILES.items()})
    assert key(run=run_facts(LocalSettings(device="cuda:0"))) == key(run=run_facts(LocalSettings(device="cuda:1")))
    runs = [
        LocalSettings(),
        LocalSettings("bfloat16"),
        LocalSettings(device="cuda"),
        LocalSettings(generator="transformers"),
    ]
    assert len({key(run=run_facts(one)) for one in runs}) == 4


def test_a_model_is_what_is_read_of_its_folder(tmp_path):
    folder = made.model(tmp_path)
    whole = content(folder)
    (tmp_path / "results.json").write_text("{}")
    (tmp_path / "README.md").write_text("x")
    assert content(folder) == whole
    (tmp_path / "chat_template.jinja").write_text("x")
    assert content(folder) != whole


def test_another_reward_model_under_the_same_name_is_another_key(tmp_path):
    path = write(tmp_path / "asked.jsonl", [{"instruction": "one", "output": "1"}])
    files = []
    for seed in (0, 1):
        (tmp_path / "rm").mkdir(exist_ok=True)
        task = make("win_rate", {"path": path, "reward": reward_model(tmp_path / "rm", seed)})
        files.append(task.read().files)
    assert list(files[0]) == list(files[1]) == ["asked.jsonl", "reward: rm"]
    assert key(files[0]) != key(files[1])
