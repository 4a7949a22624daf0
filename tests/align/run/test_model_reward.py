"""A reward model's scores: the policy sees whole sequences, and weights add its outputs up."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from align.batch import TokenBatch
from align.errors import RewardError
from align.rewards.compose import compose
from align.run.measure import Layout
from align.run.model_reward import ModelReward, opened
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


@pytest.mark.parametrize(
    ("names", "attributes"),
    [
        (["LABEL_0", "LABEL_1"], {"helpful": 0.0, "brief": 2.0}),  # of no names: in their order
        (["helpful", "brief"], {"brief": 2.0, "helpful": 0.0}),
        (["helpful", "brief"], {"brief": 2.0}),
    ],
)
def test_a_run_opens_it_with_the_outputs_it_has_and_weighs_them_by_name(names, attributes, tmp_path):
    asked = []

    class Job:
        def policy(self, role, start_from="", head="lm", outputs=1):
            asked.append((role, start_from, head, outputs))
            return LastToken()

        def layout(self):
            return Layout(64, 64, True)

    model = str(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {str(n): name for n, name in enumerate(names)}}))
    specs = [{"model": {"start_from": model, "attributes": attributes, "weight": 0.5}}]
    rewards = compose(specs, functools.partial(opened, Job()))
    assert asked == [("reward", model, "reward", 2)]
    assert rewards.score(GIVEN).total.tolist() == LENGTHS


def test_a_score_that_is_no_number_is_refused():
    class Broken(LastToken):
        def scores(self, batches):
            return [scores.log() - torch.inf for scores in super().scores(batches)]

    with pytest.raises(RewardError, match=r"reward model is nan for completion 0 \(prompt 'a task'\)"):
        ModelReward(Broken(), Layout(64, 64, True), (1.0, 0.0))(GIVEN)  # type: ignore[arg-type]
