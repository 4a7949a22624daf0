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
    theirs = json.loads((tmp_path / "out" / "against" / "results.json").read_text())
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
    assert run(tmp_path / "out", "--against", tmp_path / "out" / "against") == 0
    assert capsys.readouterr().out == first.out


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
