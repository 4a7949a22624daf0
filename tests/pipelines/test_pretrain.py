"""`millrace pretrain`: what is said before anything starts, and a whole run to a folder that transformers load."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.cli import main
from tests.pretrain.run.runs import shards

ROOT = Path(__file__).parents[2]
SMALL = [
    "model.layers=2", "model.hidden_size=64", "model.heads=4", "model.kv_heads=2", "model.ffn_size=96",
    "data.seq_length=64", "data.validation_share=0.1", "training.steps=30", "training.global_batch=8",
    "training.micro_batch=4", "optimizer.lr=0.01", "optimizer.warmup_steps=3", "watch.validate_every=15",
    "watch.log_every=10", "checkpoint.every_steps=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> str:
    return shards(tmp_path_factory.mktemp("shards"))


def sets(*more: str) -> list[str]:
    return [word for setting in (*SMALL, *more) for word in ("--set", setting)]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["pretrain-tinny", "--shards", "{}"], 2, "no recipe is called pretrain-tinny. Did you mean pretrain-tiny?"),
        (["pretrain-tiny", "--shards", "{}", "--set", "training.stpes=3"], 2, "Did you mean steps?"),
        (["pretrain-tiny", "--shards", "{}", "--set", "trainig.steps=3"], 2, "Did you mean training?"),
        (["pretrain-tiny", "--shards", "{}", "--set", "training.steps=many"], 2, "it must be int"),
        (["pretrain-tiny"], 1, "runs/demo holds no token shards"),
        (["llama-1b"], 1, "data.shards names no shards"),
        (["pretrain-tiny", "--shards", "/nowhere"], 1, "/nowhere holds no token shards"),
        (["pretrain-tiny", "--shards", "{}", "--gpus", "8"], 2, "--gpus describes another machine"),
        (
            ["llama-8b", "--shards", "{}", "--plan", "--gpus", "6", "--set", "parallel.tensor=4",
             "--set", "parallel.ranks=6", "--set", "data.seq_length=64"],
            2,
            "tensor 4 x pipeline",
        ),
        (
            ["pretrain-tiny", "--shards", "{}", *sets("model.vocab_size=100")],
            1,
            "has a vocabulary of 200 tokens, the model only 100",
        ),
        (["pretrain-tiny", "--shards", "{}", *sets("training.start_from=/nowhere")], 2, "both a model section"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_before_anything_starts(place, tmp_path, monkeypatch, capsys, words, code, said):
    monkeypatch.chdir(tmp_path)
    assert main(["pretrain", *(word.format(place) for word in words)]) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_index_that_does_not_match_its_tokens_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    broken = shards(tmp_path / "shards")
    tokens = Path(broken, "tokens", "shard-00000.bin")
    tokens.write_bytes(tokens.read_bytes()[:-2])
    assert main(["pretrain", "pretrain-tiny", "--shards", broken, *sets()]) == 1
    assert "shard-00000" in capsys.readouterr().err


def test_the_plan_says_how_a_model_is_spread_and_runs_nothing(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["pretrain", "llama-8b", "--shards", place, "--plan", "--gpus", "64", "--set", "data.seq_length=64"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "64 GPUs of 80.0 GiB" in said
    assert "parameters" in said
    assert not list(tmp_path.iterdir())


def test_what_is_prepared_can_be_run_from_any_directory(place, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(Path(place).parent)
    name, out = Path(place).name, str(tmp_path / "run")
    words = ["pretrain", "pretrain-tiny", "--prepare", "--output", out, "--set", f"data.shards={{{name}: 2.5}}"]
    assert main([*words, *sets()]) == 0
    assert f"{name}: " in capsys.readouterr().out
    config = json.loads(Path(out, "run.json").read_text())["config"]
    assert config["data"]["shards"] == {place: 2.5}
    assert config["data"]["clusters"] == config["training"]["start_from"] == ""


def test_a_run_hands_on_a_model_that_transformers_load_and_training_goes_on_from_it(place, tmp_path):
    """One whole command, then another that begins with what the first handed on."""
    first, second = tmp_path / "first", tmp_path / "second"
    said = command("pretrain-tiny", "--shards", place, "--output", first, *sets())
    assert "unigram entropy" in said
    assert "bigram model" in said
    loss = json.loads((first / "log.jsonl").read_text().splitlines()[-1])["validation_loss"]
    assert loss == pytest.approx(transformers_loss(first, place), abs=1e-4)

    recipe = tmp_path / "more.yaml"
    recipe.write_text(f"training: {{start_from: {first / 'hf'}, steps: 2, global_batch: 8, export: false}}\n")
    data = [word for setting in SMALL if setting.startswith("data.") for word in ("--set", setting)]
    command(recipe, "--shards", place, "--output", second, *data, "--set", "watch.validate_every=1",
            "--set", "optimizer.lr=1e-9", "--set", "optimizer.min_lr=0")  # fmt: skip
    goes_on = json.loads((second / "log.jsonl").read_text().splitlines()[-1])["validation_loss"]
    assert goes_on == pytest.approx(loss, abs=1e-4)


def command(*words: object) -> str:
    told = [sys.executable, "-m", "pipelines.cli", "pretrain", *map(str, words)]
    done = subprocess.run(told, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def transformers_loss(run: Path, place: str) -> float:
    """Return the validation loss that transformers compute with the folder a run handed on, in a process of its own."""
    code = """
import sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from millrace import storage
from millrace.config import build
from pretrain.config import Config
from pretrain.data.loader import Loader
config = build(Config, storage.read_json(sys.argv[1] + "/run.json")["config"])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1] + "/hf").eval()
assert AutoTokenizer.from_pretrained(sys.argv[1] + "/hf").eos_token_id == 0
total = count = 0.0
with Loader(config.data, 8, 8) as loader, torch.no_grad():
    for batch in (batch for batches in loader.validation() for batch in batches):
        bounds = batch.cu_seqlens.tolist()
        for a, b in zip(bounds, bounds[1:]):
            row, low, high = a // 64, a % 64, a % 64 + b - a
            tokens, labels = (torch.from_numpy(x[row, low:high])[None] for x in (batch.tokens, batch.labels))
            weights = torch.from_numpy(batch.weights[row, low:high])
            losses = torch.nn.functional.cross_entropy(model(tokens).logits[0], labels[0], reduction="none")
            total, count = total + float((losses * weights).sum()), count + float(weights.sum())
shown = model.generate(torch.tensor([[5, 7]]), max_new_tokens=4, do_sample=False)
assert shown.shape[1] > 2
print(total / count)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(run)], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return float(done.stdout.split()[-1])
