"""Weights that are no numbers give no result."""

import pytest
import torch

from serve.errors import EvaluationError
from serve.evaluate.local.language import Language
from serve.evaluate.local.reward import Reward
from serve.evaluate.tasks import make
from serve.model import find
from tests.serve.evaluate import made
from tests.serve.evaluate.judged import pairs, reward_model


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """Return a language model of NaN as a subject."""
    from transformers import AutoModelForCausalLM

    folder = made.model(tmp_path_factory.mktemp("nan") / "nan")
    network = AutoModelForCausalLM.from_pretrained(folder)
    network.model.layers[0].mlp.down_proj.weight.data.fill_(torch.nan)
    network.save_pretrained(folder)
    return Language.load(find(folder))


@pytest.mark.parametrize("name", ["hellaswag", "perplexity"])
def test_a_log_probability_that_is_no_number_names_model_and_item(tmp_path, broken, name):
    task = make(name, {"path": made.write(tmp_path, name, 3)})
    with pytest.raises(EvaluationError, match=rf"{name}\.jsonl:\d: nan gives a log-probability of nan"):
        task.run(broken, task.read())


def test_no_answer_is_written_by_a_model_of_no_numbers(tmp_path, broken):
    task = make("gsm8k", {"path": made.write(tmp_path, "gsm8k", 2), "max_tokens": 4})
    with pytest.raises(EvaluationError, match="no numbers"):
        task.run(broken, task.read())
    broken.close()


def test_a_score_that_is_no_number_is_refused(tmp_path):
    subject = Reward.load(find(reward_model(tmp_path)))
    subject._scorer.weight.data.fill_(torch.nan)
    task = make("reward_accuracy", {"path": pairs(tmp_path, 2)[0]})
    with pytest.raises(EvaluationError, match="gives a score of nan"):
        task.run(subject, task.read())
