"""What holds for every objective."""

import dataclasses
import itertools

import pytest
import torch

from align.objectives import counts
from align.policy import Outputs
from tests.align.batches import token_batch
from tests.align.objectives import cases
from tests.align.objectives.cases import OBJECTIVES, K, N, T, evaluate

COUNTS = counts(cases.examples(), max_tokens=9)
COUNTED = dict.fromkeys(OBJECTIVES, "pairs") | dict.fromkeys(["grpo", "gspo", "reinforce", "kto"], "sequences")
COUNTED |= {name: "tokens" for name in OBJECTIVES if name.startswith(("value", "distillation"))}
COUNTED |= dict.fromkeys(["sft", "ppo", "bnpo", "dapo", "cispo"], "tokens")
COUNTED |= {"steerlm": "examples", "dr_grpo": "max_tokens", "reward regression": "attributes"}
every_objective = pytest.mark.parametrize("name", OBJECTIVES)


def same(left, right):
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-14)


@every_objective
@pytest.mark.parametrize("cut", [[0, 2, 8], [0, 2, 4, 6, 8], [0, 6, 8]], ids=str)
def test_a_split_into_micro_batches_changes_nothing(name, cut):
    whole, given = cases.batch(), cases.outputs()
    loss, gradients = evaluate(OBJECTIVES[name], given, whole, COUNTS)
    parts = []
    for start, end in itertools.pairwise(cut):
        piece = {key: value[start:end].detach().requires_grad_() for key, value in given.items()}
        parts.append(evaluate(OBJECTIVES[name], piece, cases.rows(whole, list(range(start, end))), COUNTS))
    same(sum(part for part, _ in parts), loss)
    for key, expected in gradients.items():
        same(torch.cat([found[key] for _, found in parts]), expected)


@every_objective
def test_the_denominator_is_one_count_alone(name):
    whole, given = cases.batch(), cases.outputs()
    loss, _ = evaluate(OBJECTIVES[name], given, whole, COUNTS)
    twice = {key: 2 * value if key == COUNTED[name] else torch.nan for key, value in COUNTS.items()}
    same(evaluate(OBJECTIVES[name], given, whole, twice)[0], loss / 2)


@every_objective
def test_metrics_of_micro_batches_add_up(name):
    whole, given = cases.batch(), cases.outputs()

    def metrics(start, end):
        piece = {key: value[start:end] for key, value in given.items() if key in OBJECTIVES[name].needs}
        return OBJECTIVES[name](Outputs(**piece), cases.rows(whole, list(range(start, end))), COUNTS)[1]

    first, second = metrics(0, 4), metrics(4, 8)
    for key, (total, count) in metrics(0, 8).items():
        same(first[key][0] + second[key][0], total)
        assert first[key][1] + second[key][1] == count
        assert torch.isfinite(total)
        assert not total.requires_grad


@every_objective
def test_the_order_of_examples_changes_nothing(name):
    whole, given = cases.batch(), cases.outputs()
    loss, gradients = evaluate(OBJECTIVES[name], given, whole, COUNTS)
    order = torch.tensor([4, 5, 0, 1, 6, 7, 2, 3])
    moved = {key: value[order].detach().requires_grad_() for key, value in given.items()}
    again, found = evaluate(OBJECTIVES[name], moved, cases.rows(whole, order), COUNTS)
    same(again, loss)
    for key, expected in gradients.items():
        same(found[key], expected[order])


@every_objective
def test_padding_changes_nothing(name):
    whole, given = cases.batch(), cases.outputs()
    loss, gradients = evaluate(OBJECTIVES[name], given, whole, COUNTS)

    def longer(value, fill):
        wide = value.ndim >= 2 and value.shape[:2] == (N, T)
        return torch.cat([value, value.new_full((N, 3, *value.shape[2:]), fill)], 1) if wide else value

    fields = {key: longer(value, 0 if key == "candidates" else torch.nan) for key, value in whole.fields.items()}
    padded = dataclasses.replace(whole, mask=longer(whole.mask, False), fields=fields)
    stretched = {key: longer(value.detach(), 0.0).requires_grad_() for key, value in given.items()}
    again, found = evaluate(OBJECTIVES[name], stretched, padded, COUNTS)
    same(again, loss)
    for key, expected in gradients.items():
        same(found[key], longer(expected, 0.0))


@every_objective
def test_what_is_not_learnt_has_no_gradient(name):
    whole, given = cases.batch(), cases.outputs()
    _, gradients = evaluate(OBJECTIVES[name], given, whole, COUNTS)
    for key, found in gradients.items():
        if key != "scores":
            assert (found[~whole.mask] == 0).all()
        assert (found != 0).any()


@every_objective
@pytest.mark.parametrize("with_fields", [True, False])
@pytest.mark.parametrize("n", [1, 2])
def test_a_filler_gives_exactly_nothing(name, n, with_fields):
    fields = {}
    if with_fields:
        for key, value in cases.batch().fields.items():
            of_tokens = value.ndim > 1 and value.shape[1] == T
            fields[key] = torch.zeros_like(value[:n, :1] if of_tokens else value[:n])
    filler = token_batch(torch.zeros(n, 1), torch.full((n,), -1), **fields)
    given = {
        "logprobs": torch.zeros(n, 1), "entropy": torch.zeros(n, 1), "values": torch.zeros(n, 1),
        "candidates": torch.zeros(n, 1, K), "scores": torch.zeros(n, cases.ATTRIBUTES),
    }  # fmt: skip
    given = {key: value.requires_grad_() for key, value in given.items()}
    loss, gradients = evaluate(OBJECTIVES[name], given, filler, COUNTS)
    assert loss == 0
    assert all((found == 0).all() for found in gradients.values())
    needed = {key: given[key] for key in OBJECTIVES[name].needs}
    metrics = OBJECTIVES[name](Outputs(**needed), filler, COUNTS)[1]
    assert all(total == 0 and count == 0 for total, count in metrics.values())
    real = {key: value for key, value in cases.outputs().items() if key in needed}
    assert list(metrics) == list(OBJECTIVES[name](Outputs(**real), cases.batch(), COUNTS)[1])


@every_objective
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_precision_is_that_of_the_inputs(name, dtype):
    whole, given = cases.batch(), cases.outputs(dtype)
    fields = {key: value.to(dtype) if value.is_floating_point() else value for key, value in whole.fields.items()}
    loss, gradients = evaluate(OBJECTIVES[name], given, dataclasses.replace(whole, fields=fields), COUNTS)
    assert loss.dtype == dtype
    exact, _ = evaluate(OBJECTIVES[name], cases.outputs(), whole, COUNTS)
    torch.testing.assert_close(loss, exact.to(dtype), rtol=1e-4, atol=1e-5)
    assert all(found.dtype == dtype and torch.isfinite(found).all() for found in gradients.values())


@every_objective
def test_nothing_to_learn_in_the_whole_batch_gives_zero(name):
    nothing = dataclasses.replace(cases.batch(), mask=torch.zeros(N, T, dtype=torch.bool), example=torch.full((N,), -1))
    loss, _ = evaluate(OBJECTIVES[name], cases.outputs(), nothing, dict.fromkeys(COUNTS, 0.0))
    assert loss == 0
