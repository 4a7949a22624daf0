"""A reward model's scores against transformers, conversation by conversation."""

import numpy as np
import pytest
import torch

from serve.errors import EvaluationError, ModelFolderError
from serve.evaluate.local.reward import Reward, batches
from serve.model import ModelFolder, find
from tests.serve.evaluate.judged import reward_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return reward_model(tmp_path_factory.mktemp("rater"))


@pytest.fixture(scope="module")
def rater(folder):
    return Reward.load(find(folder))


def test_against_transformers(folder, rater):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    model.config.pad_token_id = 3  # <|pad|>: transformers reads the last token that is not padding
    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = [
        ([{"role": "user", "content": "the fox " * n}], "jumps " * (7 - n)) for n in range(1, 7)
    ] + [([{"role": "system", "content": "be"}, {"role": "user", "content": "x"}], "")]  # fmt: skip
    expected = []
    for messages, answer in asked:
        whole = [*messages, {"role": "assistant", "content": answer}]
        text = tokenizer.apply_chat_template(whole, tokenize=False).removesuffix("\n")
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.inference_mode():
            expected.append(float(model(ids).logits[0, 0]))
    assert np.ptp(expected) > 0.1
    assert rater.rewards(asked) == pytest.approx(expected, abs=1e-4)
    assert rater.rewards([]) == []


def test_a_conversation_that_is_too_long_loses_its_first_tokens(rater):
    long = [([{"role": "user", "content": "zero " * 3000 + "fox " * 300}], "dog"),
            ([{"role": "user", "content": "nine " * 3000 + "fox " * 300}], "dog")]  # fmt: skip
    first, second = rater.rewards(long)
    assert first == second


def test_it_writes_nothing(rater):
    for asked in (lambda: rater.complete(["x"], 1, ()), lambda: rater.loglikelihoods([]),
                  lambda: rater.token_logprobs([]), lambda: rater.chat([])):  # fmt: skip
        with pytest.raises(EvaluationError, match="is a reward model; this task needs a language model"):
            asked()


def test_a_special_token_in_an_answer_is_refused(rater):
    with pytest.raises(EvaluationError, match=r"cannot read conversation 1: special token in a turn"):
        rater.rewards([([{"role": "user", "content": "x"}], "y"), ([{"role": "user", "content": "x"}], "<|im_end|>")])


def test_a_model_of_several_scores_or_without_its_head_is_refused(tmp_path, base):
    from safetensors.torch import load_file, save_file

    several = reward_model(tmp_path / "several", outputs=3)
    with pytest.raises(ModelFolderError, match=r"gives 3 scores \(LABEL_0, LABEL_1, LABEL_2\)"):
        Reward.load(find(several))
    with pytest.raises(ModelFolderError, match="is a language model"):
        Reward.load(find(base))
    headless = reward_model(tmp_path / "headless")
    weights = load_file(f"{headless}/model.safetensors")
    save_file(
        {k: v for k, v in weights.items() if k != "score.weight"}, f"{headless}/model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ModelFolderError, match=r"lacks 1 tensors, the first is score\.weight"):
        Reward.load(find(headless))
    save_file(
        weights | {"score.weight_scale": weights["score.weight"].clone()},
        f"{headless}/model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        ModelFolderError, match=r"has 1 tensors that its model does not use, the first is score\.weight_scale"
    ):
        Reward.load(find(headless))
    with pytest.raises(ModelFolderError, match="quantised by modelopt"):
        Reward.load(ModelFolder("x", headless, "reward", "modelopt"))


def test_batches_hold_every_place_once_and_no_more_tokens_than_they_may():
    lengths = np.random.default_rng(0).integers(1, 300, 50).tolist()
    made = batches(lengths, 400)
    assert sorted(n for one in made for n in one) == list(range(50))
    for one in made:
        assert len(one) == 1 or len(one) * max(lengths[n] for n in one) <= 400
