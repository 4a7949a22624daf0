import pytest
import torch

from align import losses
from tests.align.batches import exact

P, Q = (torch.randn(3, 7, generator=torch.Generator().manual_seed(i)).double().log_softmax(-1) for i in (1, 2))


@pytest.mark.parametrize("divergence", ["forward", "backward", "jsd"])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_a_student_like_its_teacher_has_no_loss_and_others_have(divergence, temperature):
    exact(losses.distillation(P, P, divergence, temperature=temperature), torch.zeros(3))
    assert (losses.distillation(P, Q, divergence, temperature=temperature) > 0).all()


def test_jsd_of_half_and_half_is_symmetric_and_below_log_2():
    one, other = losses.distillation(P, Q, "jsd"), losses.distillation(Q, P, "jsd")
    exact(one, other)
    assert (one < torch.tensor(2.0).log()).all()


@pytest.mark.parametrize(("mix", "divergence"), [(1e-7, "forward"), (1 - 1e-7, "backward")])
def test_jsd_over_its_mix_goes_to_forward_and_backward_kl(mix, divergence):
    found = losses.distillation(P, Q, "jsd", mix) / min(mix, 1 - mix)
    torch.testing.assert_close(found, losses.distillation(P, Q, divergence), rtol=1e-5, atol=0.0)


def test_scores_of_all_tokens_may_be_logits():
    exact(losses.distillation(P + 3.0, Q - 1.0, "forward", temperature=0.7), losses.distillation(P, Q, temperature=0.7))
