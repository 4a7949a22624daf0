import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines import cli
from tests.serve.evaluate import made


@pytest.fixture
def files(tmp_path):
    return {name: made.write(tmp_path, name, 10) for name in ("hellaswag", "perplexity", "gsm8k")}


def run(*words):
    return cli.main(["evaluate", *map(str, words)])


def test_a_model_is_measured_compared_and_not_measured_twice(tmp_path, files, base, capsys):
    other = made.model(tmp_path / "other", seed=1)
    tasks = [f"{name}={path}" for name, path in files.items()]
    given = [base, *tasks, "--set", "gsm8k.max_tokens=4", "--output", tmp_path / "out", "--against", other]
    assert run(*given) == 0
    first = capsys.readouterr()
    told = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(told["tasks"]) == ["hellaswag", "perplexity", "gsm8k"]
    acc = told["tasks"]["hellaswag"]["measures"]["acc"]["value"]
    table = pq.read_table(tmp_path / "out" / "values" / "hellaswag.parquet")
    assert np.mean(table.column("acc").to_numpy()) == pytest.approx(acc)
    theirs = json.loads((tmp_path / "out" / "against" / "other" / "results.json").read_text())
    apart = json.loads((tmp_path / "out" / "comparison.json").read_text())["tasks"]
    for name in ("hellaswag", "perplexity"):
        measure = {"hellaswag": "acc", "perplexity": "bits_per_byte"}[name]
        values = [one["tasks"][name]["measures"][measure]["value"] for one in (told, theirs)]
        assert apart[name][measure]["value"] == pytest.approx(values[0] - values[1])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "Comparison" in page
    assert "activity" not in first.out

    written = (tmp_path / "out" / "results.json").read_bytes()
    assert run(*given) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert again.err.count("stands in") == 6
    assert (tmp_path / "out" / "results.json").read_bytes() == written
    assert run(tmp_path / "out", "--against", tmp_path / "out" / "against" / "other") == 0
    assert capsys.readouterr().out == first.out
    assert told["tasks"]["gsm8k"]["run"] == {"dtype": "auto", "device": "cpu", "generator": "engine"}

    assert run(*given[:-2]) == 0  # nothing is compared
    assert not (tmp_path / "out" / "comparison.json").exists()
    assert "Comparison" not in (tmp_path / "out" / "report.html").read_text()
    capsys.readouterr()
    apart = made.write(tmp_path, "hellaswag", 10, seed=7, as_="apart")
    for words, said in [
        ([f"hellaswag={apart}"], "hellaswag was run on other files"),
        ([f"hellaswag={files['hellaswag']}", "--limit", 3], "hellaswag was run with limit 0 and 3"),
        ([f"gsm8k={files['gsm8k']}", "--set", "gsm8k.max_tokens=5"], "gsm8k was run with max_tokens 4 and 5"),
        ([f"piqa={files['hellaswag']}"], "no model to measure piqa"),
        (["--limit", 3], "name them, TASK=FILES"),
    ]:
        assert run(tmp_path / "out", *words) in (1, 2)
        line = capsys.readouterr().err
        assert said in line
        assert line.count("\n") == 1


def test_a_task_whose_file_changed_is_measured_again(tmp_path, files, base, capsys):
    given = [base, f"perplexity={files['perplexity']}", "--output", tmp_path / "out"]
    assert run(*given) == 0
    made.write(tmp_path, "perplexity", 5)
    assert run(*given) == 0
    assert "stands in" not in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "results.json").read_text())["tasks"]["perplexity"]["items"] == 5


def test_a_model_whose_weights_changed_is_another(tmp_path, files, capsys):
    folder = made.model(tmp_path / "model")
    given = [folder, f"perplexity={files['perplexity']}", "--output", tmp_path / "out"]
    assert run(*given) == 0
    made.model(tmp_path / "model", seed=5)
    assert run(*given) == 1
    assert "holds results of another model" in capsys.readouterr().err


def test_the_other_model_may_change_under_its_name(tmp_path, files, base, capsys):
    other = made.model(tmp_path / "other", seed=1)
    given = [base, f"perplexity={files['perplexity']}", "--limit", 2, "--output", tmp_path / "out", "--against", other]
    said = []
    for seed in (1, 2):
        made.model(tmp_path / "other", seed=seed)
        assert run(*given) == 0
        said.append(json.loads((tmp_path / "out" / "comparison.json").read_text())["tasks"])
    assert said[0] != said[1]
    third = made.model(tmp_path / "third", seed=3)
    assert run(*given[:-1], third) == 0
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["against"]["name"] == "third"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["MODEL"], "name at least one task"),
        (["MODEL", "hellaswag"], "hellaswag needs files"),
        (["MODEL", "helaswag=x"], "Did you mean hellaswag?"),
        (["MODEL", "piqa=x", "piqa=y"], "piqa is named twice"),
        (["MODEL", "piqa=x", "--set", "pica.limit=1"], "pica is no task of this command. Did you mean piqa?"),
        (["MODEL", "piqa=x", "--set", "piqa"], "write TASK.FIELD=VALUE"),
        (["MODEL", "piqa=nothing.jsonl"], "no file matches nothing.jsonl"),
        (["MODEL", "a/b:piqa=x"], "a label is of letters"),
        (["nowhere", "piqa=x"], "does not exist"),
        (["MODEL", "piqa=x", "--output", "MODEL"], "is a model or a run: name another"),
        ([], "name a model"),
    ],
)
def test_a_mistake_is_one_line(words, said, base, capsys):
    assert run(*(base if word == "MODEL" else word for word in words)) in (1, 2)
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            "is a reward model; perplexity measures a language model",
        ),
        ({"quantization_config": {"quant_method": "modelopt"}}, "is quantised by modelopt"),
    ],
)
def test_a_model_that_language_tasks_cannot_take_is_refused(tmp_path, files, capsys, change, said):
    folder = made.model(tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    assert run(folder, f"perplexity={files['perplexity']}", "--output", tmp_path / "out") == 1
    assert said in capsys.readouterr().err


def test_what_a_model_has_no_room_for_is_told_before_anything_is_measured(tmp_path, files, base, capsys):
    given = [base, f"perplexity={files['perplexity']}", f"maths:gsm8k={files['gsm8k']}", "--output", tmp_path / "out"]
    assert run(*given) in (1, 2)
    line = capsys.readouterr().err
    assert "maths: max_tokens is 256, but" in line
    assert "has 256 positions for prompt and answer: --set maths.max_tokens=N, below 256" in line
    assert line.count("\n") == 1
    assert not (tmp_path / "out" / "results.json").exists()


def test_an_answer_longer_than_the_model_is_told_before_anything_is_measured(tmp_path, files, base, capsys):
    (tmp_path / "long.jsonl").write_text(json.dumps({"goal": "g", "sol1": "a", "sol2": "fox " * 2000, "label": 0}))
    given = [base, f"perplexity={files['perplexity']}", f"piqa={tmp_path / 'long.jsonl'}", "--output", tmp_path / "out"]
    assert run(*given) == 1
    line = capsys.readouterr().err
    assert "long.jsonl:1: an answer has" in line
    assert line.count("\n") == 1


def cut(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def lie(folder):
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "intermediate_size": 24}))


@pytest.mark.parametrize(("damage", "said"), [(cut, "model.safetensors"), (lie, "has the shape")])
def test_a_damaged_or_lying_folder_is_one_line(tmp_path, files, capsys, damage, said):
    folder = made.model(tmp_path / "model")
    capsys.readouterr()
    damage(tmp_path / "model")
    assert run(folder, f"perplexity={files['perplexity']}", "--output", tmp_path / "out") == 1
    line = capsys.readouterr().err
    assert said in line
    assert "an error of millrace" not in line
    assert line.count("\n") == 1
