import numpy as np
import pytest
import torch

from serve.engine.request import Wanted
from serve.errors import EngineError, ModelFolderError
from tests.serve.engine import models
from tests.serve.engine.models import Heard, open_small


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_scores_are_those_of_transformers_at_the_last_token(family, tmp_path):
    from transformers import AutoModelForSequenceClassification

    folder = models.make(tmp_path, family, head="reward")
    oracle = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    rows = [row + 1 for row in np.array_split(np.arange(200) % 60, 7)]  # no token of these is the one that pads
    with torch.inference_mode():
        wanted = [float(oracle(torch.from_numpy(row)[None]).logits[0, 0]) for row in rows]
    engine = open_small(folder, max_waiting=2)
    assert engine.kind == "reward"
    np.testing.assert_allclose(engine.score(rows), wanted, atol=1e-4)
    assert engine.load().blocks_used == 0
    with pytest.raises(EngineError, match="reward model: it scores"):
        engine.submit(Wanted(np.array([1]), 1), Heard())
    with pytest.raises(EngineError, match="token 61"):
        engine.score([np.array([61])])
    engine.close()


def test_a_language_model_has_no_score(llama):
    engine = open_small(llama)
    with pytest.raises(EngineError, match="language model"):
        engine.score([np.array([1])])
    engine.close()


def test_several_outputs_are_refused(tmp_path):
    folder = models.make(tmp_path, head="reward", num_labels=3)
    with pytest.raises(ModelFolderError, match=r"score.weight has the shape \(3, 32\)"):
        open_small(folder)
