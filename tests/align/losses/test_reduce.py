import pytest
import torch

from align.losses import reduce
from tests.align.batches import exact

VALUES = torch.arange(1.0, 9.0, dtype=torch.float64).reshape(2, 4)  # [[1, 2, 3, 4], [5, 6, 7, 8]]
MASK = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0]]).bool()
COUNTS = {"tokens": 5.0, "sequences": 2.0, "max_tokens": 8.0}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("by_tokens", 21 / 5), ("by_sequences", (1.5 + 6) / 2), ("by_max_tokens", 21 / 8), ("sums_by_sequences", 21 / 2)],
)
def test_normalisation(name, expected):
    exact(getattr(reduce, name)(VALUES, MASK, COUNTS), expected)


def test_what_is_masked_may_be_anything_and_has_no_gradient():
    values = torch.where(MASK, VALUES, torch.nan).requires_grad_()
    loss = reduce.by_sequences(values, MASK, COUNTS)
    loss.backward()
    exact(loss, 3.75)
    exact(values.grad, [[0.25, 0.25, 0, 0], [1 / 6, 1 / 6, 1 / 6, 0]])


def test_a_mask_of_tokens_masks_what_each_token_has_several_of():
    exact(reduce.keep(VALUES[:, :, None].expand(2, 4, 3), MASK).sum(), 3 * 21.0)


def test_a_metric_of_claims_counts_those_that_hold():
    total, count = reduce.metric(VALUES > 2, MASK)
    assert (total, count) == (3, 5)
    assert total.is_floating_point()
