from __future__ import annotations

import pytest
import yaml

from millrace.errors import ConfigError
from pretrain.config import Config
from pretrain.errors import SettingsError
from pretrain.load import from_values, load

MODEL = {"layers": 2, "hidden_size": 64, "heads": 4, "ffn_size": 128}


def test_a_configuration_survives_yaml(tmp_path):
    file = tmp_path / "run.yaml"
    made = from_values({"model": {**MODEL, "rope_scaling": {"factor": 4}}, "data": {"shards": {"a": 1, "b": 2}}})
    file.write_text(yaml.safe_dump(made.as_dict()))
    assert load(str(file)) == made


def test_an_empty_file_is_every_default(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("training:\n# nothing yet\n")
    assert load(str(file)) == Config()


@pytest.mark.parametrize(("text", "lr"), [("3e-4", 3e-4), ("3.0e-4", 3e-4), ("1E-3", 1e-3), ("1", 1.0)])
def test_a_rate_may_be_written_as_people_write_it(text, lr, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(f"optimizer: {{lr: {text}, min_lr: 0}}")
    assert load(str(file)).optimizer.lr == lr
    assert from_values({}, ["optimizer.min_lr=0", f"optimizer.lr={text}"]).optimizer.lr == lr


def test_a_name_that_looks_like_an_exponent_stays_text():
    assert from_values({}, ["watch.wandb=e5-run"]).watch.wandb == "e5-run"


def test_settings_hold_over_the_file_and_the_last_one_over_all():
    made = from_values({"training": {"steps": 5, "seed": 3}}, ["training.steps=6", "training.steps=7"])
    assert (made.training.steps, made.training.seed) == (7, 3)


def test_settings_create_the_sections_they_need():
    settings = [f"model.{name}={value}" for name, value in MODEL.items()]
    made = from_values({}, [*settings, "model.rope_scaling.factor=4", "data.shards=[a, b]"])
    assert made.model is not None
    assert made.model.layers == 2
    assert made.model.rope_scaling is not None
    assert made.model.rope_scaling.factor == 4.0
    assert made.data.shards == ["a", "b"]


def test_a_setting_of_null_removes_a_section():
    assert from_values({"model": {**MODEL, "rope_scaling": {}}}, ["model.rope_scaling=null"]).model.rope_scaling is None


@pytest.mark.parametrize(
    ("values", "settings", "words"),
    [
        ({"training": {"stpes": 1}}, [], "Training has no field stpes. Did you mean steps?"),
        ({"trainig": {}}, [], "no section trainig. Did you mean training?"),
        ({"model": {**MODEL, "hiden_size": 2}}, [], "Model has no field hiden_size. Did you mean hidden_size?"),
        ({"model": {"layers": 2}}, [], "Model needs hidden_size, heads, ffn_size"),
        ({"model": {**MODEL, "layers": "two"}}, [], "Model.layers is 'two'; it must be int"),
        ({"model": {**MODEL, "heads": 5}}, [], "model.hidden_size 64 is no multiple of model.heads 5"),
        ({"training": 5}, [], "section training is 5; it must be a mapping"),
        (["training"], [], "a configuration is a mapping of sections"),
        ({}, ["training.stpes=1"], "--set training.stpes=1: stpes is no field of Training. Did you mean steps?"),
        ({}, ["trainin.steps=1"], "trainin is no section. Did you mean training?"),
        ({}, ["model.rope_scaling.factr=1"], "factr is no field of RopeScaling. Did you mean factor?"),
        ({}, ["training.steps.more=1"], "training.steps is one value and has no fields"),
        ({}, ["steps=1"], "write section.field=value"),
        ({}, ["training.steps"], "write section.field=value"),
        ({}, ["training.steps=[1"], "'[1' is not a YAML value"),
        ({}, ["training.steps=many"], "Training.steps is 'many'; it must be int"),
        ({}, ["training.precision=bf17"], "Did you mean bf16?"),
        ({}, ["parallel.ranks=0"], "parallel.ranks is 0; it must be at least 1"),
        ({}, ["parallel.tensor=-2"], "parallel.tensor is -2; it must be at least 1"),
        ({"model": {**MODEL, "kv_heads": -2}}, [], "model.kv_heads is -2; it must be at least 1"),
        ({"model": {**MODEL, "dropout": 1.5}}, [], "model.dropout is 1.5; it must be from 0 up to 1"),
        ({}, ["data.seq_length=-512"], "data.seq_length is -512; it must be at least 1"),
        ({}, ["optimizer.decay_steps=0"], "optimizer.decay_steps is 0; it must be at least 1"),
        ({}, ["optimizer.beta1=1"], "optimizer.beta1 is 1.0; it must be from 0 up to 1"),
        ({}, ["guard.spike_window=0"], "guard.spike_window is 0; it must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_that_names_it(values, settings, words):
    with pytest.raises(ConfigError) as error:
        from_values(values, settings)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mistake_in_a_file_names_the_file(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("training: {stpes: 1}")
    with pytest.raises(ConfigError, match=r"run\.yaml: Training has no field stpes"):
        load(str(file))
    file.write_text("training: [1")
    with pytest.raises(SettingsError, match=r"run\.yaml is not YAML"):
        load(str(file))
