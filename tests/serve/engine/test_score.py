import numpy as np
import pytest
import torch

from serve.engine.request import Wanted
from serve.errors import EngineError, ModelFolderError
from tests.serve.engine import models
from tests.serve.engine.models import Heard, complete, open_small


def scores(engine, rows):
    return [one.told[-1].score for one in complete(engine, [Wanted(row, 0) for row in rows])]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_scores_are_those_of_transformers_at_the_last_token(family, tmp_path):
    from transformers import AutoModelForSequenceClassification

    folder = models.make(tmp_path, family, head="reward")
    oracle = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    rows = [row + 1 for row in np.array_split(np.arange(200) % 60, 7)]  # no token of these is the one that pads
    with torch.inference_mode():
        wanted = [float(oracle(torch.from_numpy(row)[None]).logits[0, 0]) for row in rows]
    engine = open_small(folder)
    assert engine.kind == "reward"
    np.testing.assert_allclose(scores(engine, rows), wanted, atol=1e-4)
    assert engine.load().blocks_used == 0
    with pytest.raises(EngineError, match="reward model: it scores"):
        engine.submit(Wanted(np.array([1]), 1), Heard())
    with pytest.raises(EngineError, match="token 61"):
        scores(engine, [np.array([61])])
    engine.close()


def test_a_language_model_has_no_score(llama):
    engine = open_small(llama)
    assert scores(engine, [np.array([1])]) == [None]
    engine.close()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_an_error_of_its_request(tmp_path, value):
    from transformers import AutoModelForSequenceClassification

    folder = models.make(tmp_path, head="reward")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.score.weight[:] = value
    model.save_pretrained(folder)
    engine = open_small(folder)
    (one,) = complete(engine, [Wanted(np.array([1, 2]), 0)])
    assert (one.finish, one.error[:20]) == ("error", "the model's score is")
    engine.close()


def test_several_outputs_are_refused(tmp_path):
    folder = models.make(tmp_path, head="reward", num_labels=3)
    with pytest.raises(ModelFolderError, match=r"score.weight has the shape \(3, 32\)"):
        open_small(folder)
