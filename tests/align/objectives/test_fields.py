import pytest
import torch

from align.errors import DataError
from align.objectives import FIELDS, PpoLoss, PreferenceLoss
from align.policy import Outputs
from align.sections import Dpo, Ppo
from tests.align.batches import token_batch
from tests.align.objectives import cases


def test_a_missing_field_is_named_with_those_given():
    batch = token_batch(torch.ones(2, 3), old_logprobs=torch.zeros(2, 3), margin=torch.zeros(2))
    with pytest.raises(DataError, match=r"lacks the field advantages, \(n, t\)\. Fields given: margin, old_logprobs$"):
        PpoLoss(Ppo())(Outputs(logprobs=torch.zeros(2, 3)), batch, {"tokens": 6.0})


def test_a_field_of_sequences_where_one_of_tokens_is_wanted_is_refused_and_not_broadcast():
    fields = {"old_logprobs": torch.zeros(3, 3), "advantages": torch.zeros(3)}
    with pytest.raises(DataError, match=r"advantages of a batch has shape \(3,\), not \(3, 3\)"):
        PpoLoss(Ppo())(Outputs(logprobs=torch.zeros(3, 3)), token_batch(torch.ones(3, 3), **fields), {"tokens": 9.0})


@pytest.mark.parametrize("kind", ["simpo", "orpo"])
def test_no_reference_is_read_where_none_is_needed(kind):
    loss = PreferenceLoss(Dpo(loss=kind))
    assert not loss.reference
    loss(Outputs(logprobs=-torch.ones(2, 3)), token_batch(torch.ones(2, 3), [0, 0]), {"pairs": 1.0})


def test_all_fields_are_documented():
    assert set(cases.batch().fields) == set(FIELDS)
