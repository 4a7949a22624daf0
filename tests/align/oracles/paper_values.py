"""Compute in numpy, from papers' equations, what no peer at hand computes, and freeze it:

python -m tests.align.oracles.paper_values

It imports nothing of Millrace and no torch, and is written for likeness to the equations: loops, sigmoid as 1 / (1 +
e^-x), KL as sums over outcomes. Gradients are central differences.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.align.oracles.inputs import pair_inputs, policy_inputs, spread, write

Array = np.ndarray
BETA, ETA, SMOOTHING = 0.3, 0.7, 0.15


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def gradient(of: Callable[[Array], float], at: Array, step: float = 1e-5) -> Array:
    """Return central differences, exact to about 1e-10."""
    found = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        more, less = at.copy(), at.copy()
        more[index] += step
        less[index] -= step
        found[index] = (of(more) - of(less)) / (2 * step)
    return found


def bernoulli_kl(p: float, q: float) -> float:
    """Return the sum over both outcomes of p log(p / q)."""
    return sum(a * np.log(a / b) for a, b in ((p, q), (1 - p, 1 - q)))


# Preferences


def pair_losses(logprobs: Array, kind: str) -> Array:
    """Return (4,) losses of pairs, rows i chosen and i + 4 rejected."""
    given = pair_inputs()
    wanted = ETA * (spread(0.5, 2.0, 4, shift=0.15) - spread(-1.0, 1.0, 4, shift=0.45))
    found = []
    for pair in range(4):
        ratio, mean = [], []
        for row in (pair, pair + 4):
            learnt = given["mask"][row]
            ratio.append(sum(logprobs[row][learnt]) - sum(given["reference_logprobs"][row][learnt]))
            mean.append(np.mean(logprobs[row][learnt]))
        implied = BETA * (ratio[0] - ratio[1])
        if kind == "cdpo":  # Mitchell 2023
            loss = -(1 - SMOOTHING) * np.log(sigmoid(implied)) - SMOOTHING * np.log(sigmoid(-implied))
        elif kind == "rpo_sq":  # Adler et al. 2024 (Nemotron-4 340B), 3.3.2, distance squared
            loss = (implied - wanted[pair]) ** 2
        elif kind == "rpo_bwd_kl":  # the distance being D[wanted || implied]
            loss = bernoulli_kl(sigmoid(wanted[pair]), sigmoid(implied))
        elif kind == "rpo_fwd_kl":
            loss = bernoulli_kl(sigmoid(implied), sigmoid(wanted[pair]))
        elif kind == "ipo":  # Azar et al. 2023, equation 17, with whole log-probabilities
            loss = (ratio[0] - ratio[1] - 1 / (2 * BETA)) ** 2
        elif kind == "orpo":  # Hong et al. 2024, equations 4 to 7
            odds = [np.exp(one) / (1 - np.exp(one)) for one in mean]
            loss = -mean[0] - BETA * np.log(sigmoid(np.log(odds[0] / odds[1])))
        else:  # dpo with cross entropy of the chosen side: Pang et al. 2024, equation 1, weight 0.4
            loss = -np.log(sigmoid(implied)) - 0.4 * mean[0]
        found.append(loss)
    return np.array(found)


def preferences() -> dict[str, Any]:
    """Return losses and gradients of their mean."""
    logprobs = pair_inputs()["logprobs"]
    found: dict[str, Any] = {
        kind: {
            "losses": pair_losses(logprobs, kind),
            "gradient": gradient(lambda x, kind=kind: float(pair_losses(x, kind).mean()), logprobs),
        }
        for kind in ("cdpo", "rpo_sq", "rpo_bwd_kl", "rpo_fwd_kl", "ipo", "orpo", "dpo_sft")
    }
    rewards = {"chosen_reward": spread(0.5, 2.0, 4, shift=0.15), "rejected_reward": spread(-1.0, 1.0, 4, shift=0.45)}
    return found | rewards | {"beta": BETA, "eta": ETA, "label_smoothing": SMOOTHING, "sft_weight": 0.4}


def kto() -> dict[str, Any]:
    """Ethayarajh et al. 2024, section 4.1: lambda_y - v; the reference point is not below 0."""
    ratio, good = spread(-3.0, 3.0, 6, shift=0.05), np.array([1, 0, 1, 1, 0, 0])
    found = {}
    for name, mismatched in (("above", spread(-1.0, 2.0, 5)), ("below", spread(-3.0, 0.5, 5))):
        point = max(0.0, sum(mismatched) / 5)
        value = [
            1.2 * sigmoid(BETA * (r - point)) if y else 0.7 * sigmoid(BETA * (point - r)) for r, y in zip(ratio, good)
        ]
        losses = [(1.2 if y else 0.7) - v for v, y in zip(value, good)]
        found[name] = {"mismatched": mismatched, "point": point, "losses": losses}
    return {"log_ratio": ratio, "desirable": good, "beta": BETA, "weights": [1.2, 0.7], "cases": found}


def reward_models() -> dict[str, Any]:
    """HelpSteer2-Preference, equations 2 and 3; regression with ratings that are missing."""
    chosen, rejected, margin = spread(-2, 2, 5), spread(-1, 2, 5, shift=0.5), spread(0.0, 3.0, 5, shift=0.2)
    scores, attributes = spread(0.0, 4.0, 3, 5), np.round(spread(0.0, 4.0, 3, 5, shift=0.6))
    attributes[0, 1] = attributes[2, 3] = attributes[2, 4] = np.nan
    errors = [(s - a) ** 2 for s, a in zip(scores.ravel(), attributes.ravel()) if not np.isnan(a)]
    return {
        "chosen": chosen, "rejected": rejected, "margin": margin,
        "bradley_terry": -np.log(sigmoid(chosen - rejected)),
        "margin_losses": -np.log(sigmoid(chosen - rejected - margin)),
        "scaled_losses": -margin * np.log(sigmoid(chosen - rejected)),
        "centring": (chosen + rejected) ** 2,
        "scores": scores, "attributes": attributes, "regression": sum(errors) / len(errors), "rated": len(errors),
    }  # fmt: skip


# Policy gradients


def ppo_token(logprob: float, old: float, advantage: float, low: float, high: float, dual: float) -> float:
    """Schulman et al. 2017, equation 7; Ye et al. 2020. The objective is negated."""
    ratio = np.exp(logprob - old)
    inside = min(max(ratio, 1 - low), 1 + high)
    objective = min(ratio * advantage, inside * advantage)
    if dual and advantage < 0:
        objective = max(objective, dual * advantage)
    return -objective


def ppo(low: float, high: float, dual: float) -> dict[str, Any]:
    """Return losses of tokens, and the gradient of their mean over the mask."""
    given = policy_inputs()
    old, advantages, mask = given["old_logprobs"], given["advantages"], given["mask"]

    def losses(logprobs: Array) -> Array:
        found = np.zeros_like(logprobs)
        for i, t in zip(*np.nonzero(mask)):
            found[i, t] = ppo_token(logprobs[i, t], old[i, t], advantages[i], low, high, dual)
        return found

    at = given["logprobs"]
    mean = gradient(lambda x: float(losses(x).sum() / mask.sum()), at)
    return {"low": low, "high": high, "dual": dual, "losses": losses(at), "gradient": mean}


def critic() -> dict[str, Any]:
    """Return squared errors of values, the larger of the clipped and the unclipped one."""
    values, returns = spread(-1, 1, 12), spread(-0.3, 0.5, 12, shift=0.3)
    old = values + spread(-0.6, 0.6, 12, shift=0.8)
    clipped = [max((v - r) ** 2, (min(max(v, o - 0.2), o + 0.2) - r) ** 2) for v, r, o in zip(values, returns, old)]
    return {"values": values, "returns": returns, "old_values": old, "clip": 0.2, "losses": clipped}


def kl() -> dict[str, Any]:
    """Schulman 2020: with r = reference / policy, k1 = -log r, k2 = (log r)^2 / 2, k3 = r - 1 - log r."""
    p, q = spread(-6.0, 0.0, 9), spread(-4.0, 0.0, 9, shift=0.4)
    r = np.exp(q - p)
    exact = {"k1": -np.log(r), "k2": np.log(r) ** 2 / 2, "k3": r - 1 - np.log(r), "abs": abs(np.log(r))}
    r = np.exp(np.clip(q - p, -2.5, 2.5))  # NeMo RL's two clamps, here at 2.5 and 2.2
    bounded = {"k1": -np.log(r), "k2": np.log(r) ** 2 / 2, "k3": r - 1 - np.log(r), "abs": abs(np.log(r))}
    bounded = {kind: np.clip(values, -2.2, 2.2) for kind, values in bounded.items()}
    return {"logprobs": p, "reference": q, "exact": exact, "bounds": [2.5, 2.2], "bounded": bounded}


def groups() -> dict[str, Any]:
    """Return advantages of three prompts' completions, in mixed order, one prompt's rewards being equal."""
    group = [7, 3, 7, 3, 9, 7, 9, 3, 7, 9]
    rewards = [0.1, 0.1, 1.0, 0.1, -0.4, 0.3, 0.9, 0.1, 0.0, 0.2]
    deviation = np.std(rewards, ddof=1)
    found: dict[str, list[float]] = {}
    for baseline in ("mean", "leave_one_out", "none"):
        for scale in ("group", "batch", "none"):
            advantages = []
            for i, reward in enumerate(rewards):
                own = [r for g, r in zip(group, rewards) if g == group[i]]
                others = [r for j, (g, r) in enumerate(zip(group, rewards)) if g == group[i] and j != i]
                middle = {"mean": np.mean(own), "leave_one_out": np.mean(others), "none": 0.0}[baseline]
                by = {"group": np.std(own, ddof=1) + 1e-4, "batch": deviation + 1e-4, "none": 1.0}[scale]
                advantages.append((reward - middle) / by)
            found[f"{baseline} {scale}"] = advantages
    informative = [len({r for g, r in zip(group, rewards) if g == one}) > 1 for one in group]
    return {"group": group, "rewards": rewards, "advantages": found, "informative": informative}


def overlong() -> dict[str, Any]:
    """DAPO, equation 13, for a limit of 20 of which the last 8 are penalised."""
    lengths = list(range(9, 24))
    found = []
    for length in lengths:
        if length <= 20 - 8:
            found.append(0.0)
        elif length <= 20:
            found.append((20 - 8 - length) / 8)
        else:
            found.append(-1.0)
    return {"lengths": lengths, "max_tokens": 20, "overlong": 8, "penalty": found}


def gae(gamma: float, lam: float) -> dict[str, Any]:
    """Schulman et al. 2016, equation 16: A_t = sum_l (gamma lambda)^l delta_(t+l), over actions only."""
    mask = policy_inputs()["mask"]
    values, rewards = spread(-1.0, 1.0, 4, 7, shift=0.3), spread(-0.5, 1.5, 4, 7, shift=0.9)
    advantages = np.zeros_like(values)
    for i in range(4):
        actions = np.nonzero(mask[i])[0]
        v, r = [*values[i][actions], 0.0], rewards[i][actions]
        delta = [r[t] + gamma * v[t + 1] - v[t] for t in range(len(r))]
        for t, action in enumerate(actions):
            advantages[i, action] = sum((gamma * lam) ** (k - t) * delta[k] for k in range(t, len(r)))
    returns = (advantages + values) * mask
    given = {"values": values, "rewards": rewards, "mask": mask, "gamma": gamma, "lam": lam}
    return given | {"advantages": advantages, "returns": returns}


def rewards_of_tokens() -> dict[str, Any]:
    """Ziegler et al. 2019, equation 2, a token at a time: the score at the last."""
    mask, kl = policy_inputs()["mask"], spread(-0.5, 0.5, 4, 7, shift=0.7)
    score, found = spread(-1.0, 1.0, 4), np.zeros((4, 7))
    for i in range(4):
        actions = np.nonzero(mask[i])[0]
        found[i, actions] = -0.05 * kl[i, actions]
        found[i, actions[-1]] += score[i]
    return {"mask": mask, "kl": kl, "rewards": score, "weight": 0.05, "token_rewards": found}


def whitening() -> dict[str, Any]:
    """Return values less their mean over the mask, by their deviation (with 1e-8 in its square)."""
    mask, values = policy_inputs()["mask"], spread(-2.0, 3.0, 4, 7)
    kept = values[mask]
    found = np.where(mask, (values - kept.mean()) / np.sqrt(kept.var() + 1e-8), 0.0)
    return {"mask": mask, "values": values, "whitened": found}


def importance() -> dict[str, Any]:
    """Return min(pi / mu, 1.5)."""
    given = policy_inputs()
    weights = np.minimum(np.exp(given["old_logprobs"]) / np.exp(given["logprobs"]), 1.5) * given["mask"]
    return {"maximum": 1.5, "weights": weights}


def steerlm() -> dict[str, Any]:
    """HelpSteer2, SteerLM 2.0: weights w - b, with b ~ Q / Q'; here of prompts with 3 and 2 completions."""
    group = np.array([0, 0, 0, 1, 1])
    attributes, prior = spread(-3, 0, 5), spread(-9, -4, 5, shift=0.2)
    proposal, policy = spread(-7, -5, 5, shift=0.6), spread(-8, -5, 5, shift=0.75)

    def shares(weights: Array) -> Array:
        return np.array([w / sum(weights[group == g]) for w, g in zip(weights, group)])

    wanted = shares(np.exp(attributes) * np.exp(prior) / np.exp(proposal))
    own = shares(np.exp(policy) / np.exp(proposal))
    divergence = [sum((wanted * np.log(wanted / own))[group == g]) for g in (0, 1)]
    return {
        "group": group, "attributes": attributes, "prior": prior, "proposal": proposal, "policy": policy,
        "targets": wanted, "gradient": -(wanted - own), "divergence": divergence,
    }  # fmt: skip


def distillation() -> dict[str, Any]:
    """Return divergences over a teacher's three likeliest of nine tokens, softmax anew, at temperature 0.7."""
    student, teacher = spread(-4.0, 2.0, 4, 9), spread(-4.0, 2.0, 4, 9, shift=0.35)[:, ::-1]
    candidates = np.argsort(-teacher, 1)[:, :3]
    found: dict[str, list[float]] = {"forward": [], "backward": [], "jsd": []}
    for s, t, best in zip(student, teacher, candidates):
        q, p = (np.exp(x[best] / 0.7) / sum(np.exp(x[best] / 0.7)) for x in (s, t))
        m = 0.4 * p + 0.6 * q
        found["forward"].append(sum(p * np.log(p / q)))
        found["backward"].append(sum(q * np.log(q / p)))
        found["jsd"].append(0.4 * sum(p * np.log(p / m)) + 0.6 * sum(q * np.log(q / m)))
    pick = [x[np.arange(4)[:, None], candidates] for x in (student, teacher)]
    normal = [x - np.log(np.exp(whole).sum(1, keepdims=True)) for x, whole in zip(pick, (student, teacher))]
    return {"student": normal[0], "teacher": normal[1], "mix": 0.4, "temperature": 0.7, "losses": found}


def values() -> dict[str, Any]:
    """Return all golden values, with their inputs."""
    return {
        "source": "numpy float64, from the papers' equations; gradients by central differences",
        "pair_inputs": pair_inputs(),
        "policy_inputs": policy_inputs(),
        "preferences": preferences(),
        "kto": kto(),
        "reward_models": reward_models(),
        "ppo": [ppo(0.2, 0.2, 0.0), ppo(0.2, 0.28, 1.4)],
        "critic": critic(),
        "kl": kl(),
        "groups": groups(),
        "overlong": overlong(),
        "gae": [gae(1.0, 0.95), gae(0.9, 0.8)],
        "token_rewards": rewards_of_tokens(),
        "whitening": whitening(),
        "importance": importance(),
        "steerlm": steerlm(),
        "distillation": distillation(),
    }


if __name__ == "__main__":
    write("paper.json", values())
