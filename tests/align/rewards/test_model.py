"""A reward model's scores: the policy sees whole sequences, and weights add its outputs up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from align.batch import TokenBatch
from align.errors import RewardError
from align.rewards.compose import compose
from align.rewards.model import ModelReward
from align.run.measure import Layout
from tests.align.rewards.made import completion


class LastToken:
    """A policy whose scores are the last token and the length, as its interface says: of n sequences, (n, 2)."""

    data_rank, data_ranks = 0, 1

    def scores(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        return [torch.stack([b.tokens.flatten()[b.last_cells], b.lengths], 1).float() for b in batches]


GIVEN = [completion(tokens=tokens) for tokens in (5, 1, 9, 3, 3)]
LAST, LENGTHS = [104, 100, 108, 102, 102], [8, 4, 12, 6, 6]  # three tokens of prompt before


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("micro_tokens", [8, 16, 1000])
def test_scores_come_back_in_order_however_sequences_are_laid_out(packing, micro_tokens):
    reward = ModelReward(LastToken(), Layout(micro_tokens, 16, packing), (1.0, -0.5))  # type: ignore[arg-type]
    assert reward(GIVEN) == [last - 0.5 * length for last, length in zip(LAST, LENGTHS)]


def test_a_run_opens_it_with_an_output_for_each_attribute():
    opened = []

    class Job:
        def policy(self, role, start_from="", head="lm", outputs=1):
            opened.append((role, start_from, head, outputs))
            return LastToken()

        def layout(self):
            return Layout(64, 64, True)

    attributes = {"helpful": 0.0, "brief": 2.0}
    rewards = compose([{"model": {"start_from": "rm", "attributes": attributes, "weight": 0.5}}], Job())
    assert opened == [("reward", "rm", "reward", 2)]
    assert rewards.score(GIVEN).total.tolist() == LENGTHS


def test_a_score_that_is_no_number_is_refused():
    class Broken(LastToken):
        def scores(self, batches):
            return [scores.log() - torch.inf for scores in super().scores(batches)]

    with pytest.raises(RewardError, match=r"reward model is nan for completion 0 \(prompt 'a task'\)"):
        ModelReward(Broken(), Layout(64, 64, True), (1.0, 0.0))(GIVEN)  # type: ignore[arg-type]
