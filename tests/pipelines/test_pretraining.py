"""Recipes of training runs: each one loads, is of the size it says, and can be planned."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from millrace.errors import ConfigError
from pipelines import pretraining
from pretrain.errors import SettingsError
from pretrain.machine import GIB, Machine
from pretrain.plan import completed, plan
from pretrain.sizes import parameters

RECIPES = {  # vocabulary, rows of the shards, parameters, machine
    "pretrain-tiny": (31_700, 2048, 4_605_000, Machine(2, 8 * GIB, 2, "cpu")),
    "pretrain-demo": (4_096, 512, 1_787_000, Machine(2, 8 * GIB, 2, "cpu")),
    "llama-125m": (50_257, 2048, 124_000_000, Machine.gpus(1, 24)),
    "llama-1b": (128_256, 8192, 1_235_814_400, Machine.gpus(8, 80)),
    "llama-8b": (128_256, 8192, 8_030_261_248, Machine.gpus(64, 80)),
    "mixtral-style": (32_000, 8192, 46_702_792_704, Machine.gpus(64, 80)),
}


def test_every_recipe_is_tested():
    assert set(pretraining.names()) == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_its_size_and_a_plan(name):
    vocabulary, rows, size, machine = RECIPES[name]
    config = completed(pretraining.load(name), vocabulary, rows)
    assert config.model is not None
    assert parameters(config.model).total == pytest.approx(size, rel=0 if size > 10**9 else 0.02)
    made = plan(config, machine)
    assert made.sizes.ranks == (1 if machine.kind == "cpu" else machine.devices)


@pytest.mark.parametrize("name", ["llama-125m", "llama-1b", "llama-8b"])
def test_a_dense_recipe_sees_twenty_tokens_a_parameter(name):
    vocabulary, rows, _, machine = RECIPES[name]
    made = plan(completed(pretraining.load(name), vocabulary, rows), machine)
    assert made.tokens / made.parameters.total == pytest.approx(20, rel=0.05)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_validates_for_a_small_part_of_its_time(name):
    """A validation goes forward over its rows, a third of a step's work: over all held-out rows where none are said."""
    config = pretraining.load(name)
    data, training = config.data, config.training
    rows = data.validation_rows or data.validation_share * training.steps * training.global_batch
    assert rows / 3 <= 0.1 * config.watch.validate_every * training.global_batch


@pytest.mark.parametrize("name", RECIPES)
def test_every_number_of_a_recipe_is_explained_or_the_published_shape(name):
    text = (resources.files(pretraining) / f"{name}.yaml").read_text()
    for section in ("training", "optimizer"):
        for field in yaml.safe_load(text)[section]:
            if field not in ("precision", "micro_batch"):
                (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{field}:")]
                assert "  # " in line, line


def test_a_recipe_is_found_by_path_and_takes_settings(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("training: {steps: 5}")
    assert pretraining.load(str(file), ["training.seed=2"]).training.steps == 5
    assert pretraining.load("pretrain-tiny", ["training.steps=7"]).training.steps == 7


def test_a_wrong_name_gets_the_nearest_and_all():
    with pytest.raises(SettingsError, match=r"no recipe is called lama-8b\. Did you mean llama-8b\?.* pretrain-tiny"):
        pretraining.load("lama-8b")
    with pytest.raises(ConfigError, match=r"stpes is no field of Training\. Did you mean steps"):
        pretraining.load("llama-8b", ["training.stpes=1"])
