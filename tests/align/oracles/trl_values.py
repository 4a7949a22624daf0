"""Ask TRL 1.16 and torchrl for losses, in float64, and freeze what they say:

python -m tests.align.oracles.trl_values

needs `pip install trl==1.16.0 torch==2.13.0 torchrl==0.14.1`; nothing of Millrace. TRL's losses are methods of
trainers: they are called with a stand-in for the trainer, whose model gives the log-probabilities of `inputs.py`. With
`-` the values are printed.
"""

from __future__ import annotations

import collections
import json
import os
import sys
from types import SimpleNamespace
from typing import Any

from tests.align.oracles.inputs import pair_inputs, plain, policy_inputs, spread, write

os.environ |= {"HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1", "TRANSFORMERS_VERBOSITY": "error"}

POLICY_CASES: dict[str, dict[str, Any]] = {
    "grpo": {},
    "grpo_kl": {"beta": 0.04},
    "grpo_dual_clip": {"delta": 1.5},
    "bnpo": {"loss_type": "bnpo"},
    "dapo": {"loss_type": "dapo", "epsilon_high": 0.28},
    "dapo_importance": {"loss_type": "dapo", "importance": True, "beta": 0.04},
    "dr_grpo": {"loss_type": "dr_grpo"},
    "gspo": {"importance_sampling_level": "sequence", "epsilon_low": 0.05, "epsilon_high": 0.03},
    "cispo": {"loss_type": "cispo", "epsilon_high": 1.4},
}
PAIR_CASES: dict[str, dict[str, Any]] = {
    "sigmoid": {},
    "sigmoid_norm": {},
    "hinge": {"beta": 0.5},
    "ipo": {"beta": 0.3},
    "robust": {"label_smoothing": 0.1},
}


def accelerator() -> SimpleNamespace:
    """Return the accelerator of one process."""
    same = {name: lambda value, *_, **__: value for name in ("reduce", "gather", "gather_for_metrics", "unwrap_model")}
    return SimpleNamespace(**same, num_processes=1, sync_gradients=True, device="cpu")


def trainer(**settings: Any) -> SimpleNamespace:
    """Return what the methods of all trainers read of themselves."""
    state = SimpleNamespace(num_input_tokens_seen=0)
    model = SimpleNamespace(training=True, modules=lambda: [], is_gradient_checkpointing=False)
    metrics = {"train": collections.defaultdict(list)}
    common = {"accelerator": accelerator(), "model": model, "aux_loss_enabled": False, "_metrics": metrics}
    return SimpleNamespace(**common, state=state, _total_train_tokens=0, _tp_size=1, **settings)


def policy(case: str) -> dict[str, Any]:
    """Return a GRPO loss and its gradient."""
    import torch
    from trl import GRPOTrainer

    settings = {
        "loss_type": "grpo", "importance_sampling_level": "token", "beta": 0.0, "epsilon_low": 0.2,
        "epsilon_high": 0.2, "delta": None, "importance": False,
    } | POLICY_CASES[case]  # fmt: skip
    given = {name: torch.tensor(value) for name, value in policy_inputs().items()}
    logprobs, mask = given["logprobs"].requires_grad_(), given["mask"].long()
    weighed = settings.pop("importance")
    args = SimpleNamespace(delta=settings.pop("delta"), use_bias_correction_kl=False, steps_per_generation=1)
    self = trainer(
        args=args, top_entropy_quantile=1.0, off_policy_mask_threshold=None, use_vllm=weighed,
        vllm_importance_sampling_correction=weighed, current_gradient_accumulation_steps=1,
        max_completion_length=10, _entropy_bonus_enabled=False, **settings,
    )  # fmt: skip
    self._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None)
    prompt = torch.zeros(4, 2).long()
    inputs = {
        "prompt_ids": prompt, "prompt_mask": prompt + 1, "completion_ids": torch.zeros_like(mask),
        "completion_mask": mask, "advantages": given["advantages"], "old_per_token_logps": given["old_logprobs"],
        "ref_per_token_logps": given["reference_logprobs"], "num_items_in_batch": mask.sum(),
        "importance_sampling_ratio": given["importance"],
    }  # fmt: skip
    return answer(GRPOTrainer._compute_loss(self, None, inputs), logprobs)


def rloo() -> dict[str, Any]:
    """Return RLOO's gradient where the policy is the one that drew: REINFORCE's."""
    import torch
    from trl import RLOOTrainer

    given = {name: torch.tensor(value) for name, value in policy_inputs().items()}
    logprobs, mask = given["logprobs"].requires_grad_(), given["mask"].long()
    self = trainer(args=SimpleNamespace(), epsilon_low=0.2, epsilon_high=0.2, beta=0.0)
    self._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, torch.zeros_like(logprobs), None)
    prompt = torch.zeros(4, 2).long()
    inputs = {
        "prompt_ids": prompt, "prompt_mask": prompt + 1, "completion_ids": torch.zeros_like(mask),
        "completion_mask": mask, "advantages": given["advantages"],
        "old_logps": (logprobs.detach() * mask).sum(1),
    }  # fmt: skip
    return answer(RLOOTrainer._compute_loss(self, None, inputs), logprobs)


def model_of(logprobs: Any) -> Any:
    """Return a model whose fused head gives log-probabilities, and zeros for what is only logged."""
    import torch

    n, t = logprobs.shape
    zeros = torch.zeros(n, t)
    given = SimpleNamespace(
        log_probs=logprobs, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool(), logits=torch.zeros(n, t + 1, 3)
    )
    return lambda **_: given


def pairs(case: str) -> dict[str, Any]:
    """Return a DPO loss and its gradient."""
    import torch
    from trl import DPOTrainer

    settings = {"beta": 0.1, "label_smoothing": 0.0} | PAIR_CASES[case]
    given = {name: torch.tensor(value) for name, value in pair_inputs().items()}
    mask = given["mask"].long()
    whole = torch.cat([torch.zeros(8, 1).long(), mask], 1)  # with the prompt's token
    logprobs = given["logprobs"].requires_grad_()
    reference = (given["reference_logprobs"] * mask).sum(1)
    self = trainer(
        args=SimpleNamespace(gradient_checkpointing_kwargs=None), ld_alpha=None, precompute_ref_logps=True,
        f_divergence_type="reverse_kl", loss_types=[case], loss_weights=[1.0], use_weighting=False, **settings,
    )  # fmt: skip
    inputs = {
        "input_ids": torch.zeros_like(whole), "attention_mask": torch.ones_like(whole), "completion_mask": whole,
        "ref_chosen_logps": reference[:4], "ref_rejected_logps": reference[4:],
    }  # fmt: skip
    return answer(DPOTrainer._compute_loss(self, model_of(logprobs * mask), inputs, False), logprobs)


def kto() -> dict[str, Any]:
    """Return KTO's loss and gradient; sequences 0 to 3 are desirable, and the KL is of mismatched completions."""
    import torch
    from trl import KTOTrainer

    given = {name: torch.tensor(value) for name, value in pair_inputs().items()}
    mask = given["mask"].long()
    whole = torch.cat([torch.zeros(8, 1).long(), mask], 1)
    logprobs = given["logprobs"].requires_grad_()
    mismatched = torch.tensor(spread(0.0, 2.0, 8, shift=0.4))  # log-ratios, their reference's being 0
    self = trainer(
        args=SimpleNamespace(gradient_checkpointing_kwargs=None), precompute_ref_logps=True, calculate_KL=True,
        loss_type="kto", beta=0.3, desirable_weight=1.2, undesirable_weight=0.7,
        _compute_kl_logps=lambda *_: mismatched,
    )  # fmt: skip
    inputs = {
        "input_ids": torch.zeros_like(whole), "attention_mask": torch.ones_like(whole), "completion_mask": whole,
        "label": torch.tensor([True] * 4 + [False] * 4), "ref_logps": (given["reference_logprobs"] * mask).sum(1),
        "ref_KL_logps": torch.zeros(8, dtype=torch.float64),
    }  # fmt: skip
    loss = KTOTrainer._compute_loss(self, model_of(logprobs * mask), inputs, False)
    return answer(loss, logprobs) | {"mismatched": mismatched.tolist()}


def sequences() -> tuple[Any, Any]:
    """Return average log-probabilities of chosen and rejected sides, float64 (4,)."""
    import torch

    given = pair_inputs()
    means = (given["logprobs"] * given["mask"]).sum(1) / given["mask"].sum(1)
    chosen, rejected = torch.tensor(means[:4]), torch.tensor(means[4:])
    return chosen.requires_grad_(), rejected.requires_grad_()


def simpo() -> dict[str, Any]:
    """Return SimPO's losses and gradients of average log-probabilities."""
    from trl.experimental.cpo import CPOTrainer

    chosen, rejected = sequences()
    self = trainer(beta=2.0, loss_type="simpo", simpo_gamma=0.5, label_smoothing=0.0, alpha=0.0)
    losses = CPOTrainer.cpo_loss(self, chosen, rejected)[0]
    return answer(losses.mean(), chosen, rejected) | {"losses": losses.tolist()}


def orpo() -> dict[str, Any]:
    """Return ORPO's term of odds, which TRL subtracts; in float32, as TRL makes it."""
    from trl.experimental.orpo import ORPOTrainer

    losses = ORPOTrainer.odds_ratio_loss(trainer(beta=0.1), *sequences())[0]
    return {"losses": losses.tolist()}


def reward_model(margin: bool) -> dict[str, Any]:
    """Return the reward model's loss and gradient: with a margin, and scores drawn to 0."""
    import torch
    from trl import RewardTrainer

    scores = torch.tensor(spread(-2.0, 2.0, 8, 1, shift=0.7)).requires_grad_()
    self = trainer(args=SimpleNamespace(center_rewards_coefficient=0.01 if margin else None))
    inputs = {"attention_mask": torch.ones(8, 3)}
    given = spread(0.0, 2.0, 4, shift=0.9)
    if margin:
        inputs["margin"] = torch.tensor(given)
    loss = RewardTrainer.compute_loss(self, lambda **_: SimpleNamespace(logits=scores), inputs)
    return answer(loss, scores) | {"scores": scores.tolist(), "margin": given.tolist()}


def distillation(mix: float, temperature: float) -> dict[str, Any]:
    """Return GKD's divergence of three tokens' distributions over eleven, summed, and its gradient."""
    import torch
    from trl.experimental.gkd import GKDTrainer

    student = torch.tensor(spread(-4.0, 2.0, 3, 11)).requires_grad_()
    teacher = torch.tensor(spread(-4.0, 2.0, 3, 11, shift=0.35)[:, ::-1].copy())
    terms = GKDTrainer.generalized_jsd_loss(student, teacher, beta=mix, temperature=temperature, reduction="none")
    found = answer(terms.sum(), student) | {"losses": terms.sum(-1).tolist()}
    return found | {"student": student.tolist(), "teacher": teacher.tolist(), "mix": mix, "temperature": temperature}


def gae(gamma: float, lam: float) -> dict[str, Any]:
    """Return torchrl's advantages and returns of two sequences of six tokens."""
    import torch
    from torchrl.objectives.value.functional import generalized_advantage_estimate

    values, rewards = spread(-1.0, 1.0, 2, 6), spread(-0.5, 1.5, 2, 6, shift=0.25)
    state, reward = torch.tensor(values)[..., None], torch.tensor(rewards)[..., None]
    following = torch.cat([state[:, 1:], torch.zeros_like(state[:, :1])], 1)
    done = torch.zeros(2, 6, 1, dtype=torch.bool)
    done[:, -1] = True
    advantages, targets = generalized_advantage_estimate(gamma, lam, state, following, reward, done, done)
    given = {"values": values, "rewards": rewards, "gamma": gamma, "lam": lam}
    return given | {"advantages": advantages[..., 0], "returns": targets[..., 0]}


def answer(loss: Any, *inputs: Any) -> dict[str, Any]:
    """Return a loss and its gradients."""
    loss.backward()
    gradients = [one.grad.tolist() for one in inputs]
    return {"loss": loss.item(), "gradient": gradients[0] if len(gradients) == 1 else gradients}


def values() -> dict[str, Any]:
    """Return all golden values, with their inputs."""
    import torch

    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # TRL makes some tensors of its own
    return {
        "source": "TRL 1.16.0, torchrl 0.14.1, torch 2.13.0, float64",
        "policy_inputs": policy_inputs(),
        "pair_inputs": pair_inputs(),
        "policy": {case: policy(case) | {"settings": POLICY_CASES[case]} for case in POLICY_CASES},
        "pairs": {case: pairs(case) | {"settings": PAIR_CASES[case]} for case in PAIR_CASES},
        "rloo": rloo(),
        "kto": kto(),
        "simpo": simpo(),
        "orpo": orpo(),
        "reward_model": reward_model(margin=False),
        "reward_model_margin": reward_model(margin=True),
        "distillation": [distillation(mix, t) for mix, t in ((0.0, 1.0), (1.0, 1.0), (0.5, 1.0), (0.3, 0.9))],
        "gae": [gae(1.0, 0.95), gae(0.9, 0.8)],
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        print(json.dumps(plain(values())))
    else:
        write("trl.json", values())
