"""The steps as data: their order, their commands, and settings by step."""

from __future__ import annotations

import pytest

from align.data import template
from millrace.errors import ConfigError
from pipelines import alignment, pretraining
from pipelines.cli import main
from pipelines.full.plan import ALIGNED, Wishes, shaped_by, steps, wishes


def test_each_step_needs_steps_before_it_and_makes_something_of_its_own():
    made = steps("/demo", Wishes())
    names = [one.name for one in made]
    assert names == ["curate", "data", "pretrain", "sft", "dpo", "grpo", "evaluate", "export", "serve", "page"]
    for place, one in enumerate(made):
        assert set(one.needs) <= set(names[:place])
    assert len({one.folder for one in made}) == len(made)


def test_a_setting_reaches_the_step_it_names():
    wanted = wishes(
        ["pretrain.training.steps=5", "Tokenize.vocab_size=300", "sft.training.epochs=1"], ["--workers", "1"]
    )
    commands = {one.name: one.command for one in steps("/demo", wanted)}
    assert commands["curate"][-4:] == ("--set", "Tokenize.vocab_size=300", "--workers", "1")
    assert commands["pretrain"][-2:] == commands["data"][-2:] == ("--set", "training.steps=5")
    assert commands["sft"][-2:] == ("--set", "training.epochs=1")
    assert "training.epochs=1" not in commands["dpo"]


@pytest.mark.parametrize("given", ["sftt.training.epochs=1", "training.epochs=1", "evaluate.limit=1", "sft"])
def test_a_setting_of_no_step_is_refused_with_those_there_are(given):
    with pytest.raises(ConfigError, match=r"is no step that takes settings\..*Steps: curate, pretrain, sft, dpo, grpo"):
        wishes([given])


def test_the_command_line_says_it_in_one_line(capsys, tmp_path):
    assert main(["demo", "--full", "--output", str(tmp_path / "x"), "--set", "grop.x=1"]) == 2
    said = capsys.readouterr().err
    assert "Did you mean grpo?" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_recipes_are_there_and_shape_their_steps():
    assert pretraining.load("pretrain-demo").data.validation_share == 0.1
    assert [alignment.load(f"demo-{name}").method for name in ALIGNED] == list(ALIGNED)
    by_name = {one.name: one for one in steps("/demo", Wishes())}
    assert b"method: dpo" in shaped_by(by_name["dpo"])
    assert shaped_by(by_name["export"]) == b""
    for module in ("records", "tasks", "sections", "documents"):
        assert f"full/{module}.py" in by_name["data"].shaping
    for one in by_name.values():
        assert not one.shaping or shaped_by(one)


def test_the_chat_template_asks_as_the_evaluation_does(tmp_path):
    from align.data.chat import Chat
    from align.data.record import Message
    from pipelines.full.measures import PROMPT
    from tests.align.tiny import tokenizer

    (file,) = (
        word.partition("=")[2] for word in steps("/demo", Wishes())[3].command if word.startswith("model.template=")
    )
    assert template.is_file(file)
    chat = Chat(tokenizer(tmp_path), file)
    asked = [Message("user", "What is 1 plus 2?")]
    assert chat.text(asked, answer=True) == PROMPT.format("What is 1 plus 2?")
    both = chat.text([*asked, Message("assistant", "<answer> 3 </answer>")])
    assert both.startswith(PROMPT.format("What is 1 plus 2?") + " <answer> 3 </answer><|im_end|>")
