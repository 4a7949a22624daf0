"""The plain loops of benchmarks/align_speed.py: METHOD FOLDER. What one writes by hand with torch and transformers.

For each line {"steps": n} a run of n steps from the first weights; says its CPU seconds, without loading. Batches are
padded on the right and unmasked, the fastest way on a CPU, as causal attention never looks there.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

Settings = dict[str, Any]
Step = tuple[float, int, float | None]  # loss, tokens, reward


def rows(sequences: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    """Return tokens (n, longest), and which of them are learnt."""
    longest = max(len(one["tokens"]) for one in sequences)
    tokens, mask = torch.zeros(len(sequences), longest, dtype=torch.int64), torch.zeros(len(sequences), longest).bool()
    for row, one in enumerate(sequences):
        tokens[row, : len(one["tokens"])] = torch.tensor(one["tokens"])
        mask[row, one["begin"] : len(one["tokens"])] = True
    return tokens, mask


def token_logprobs(model: Any, tokens: Tensor) -> Tensor:
    """Return log-probabilities (n, t) of each token after the first."""
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    return -cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").view(len(tokens), -1)


def opened(folder: Path, name: str = "model", kind: Any = AutoModelForCausalLM) -> Any:
    return kind.from_pretrained(folder / name, attn_implementation="sdpa").eval()


def optimizer_of(model: Any, lr: float) -> Callable[[Tensor], None]:
    """Return a function that takes a step on a loss."""
    adam = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0, fused=True)

    def step(loss: Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        adam.step()

    return step


def sft(folder: Path, settings: Settings) -> Callable[[Any], Step]:
    model = opened(folder)
    learn = optimizer_of(model, settings["sft_lr"])

    def step(batch: Any) -> Step:
        tokens, mask = rows([one["sequences"][0] for one in batch])
        loss = -token_logprobs(model, tokens)[mask[:, 1:]].mean()
        learn(loss)
        return loss.item(), length(batch), None

    return step


def dpo(folder: Path, settings: Settings) -> Callable[[Any], Step]:
    model, reference = opened(folder), opened(folder)
    learn = optimizer_of(model, settings["dpo_lr"])

    def step(batch: Any) -> Step:
        tokens, mask = rows([one["sequences"][side] for side in (0, 1) for one in batch])
        with torch.no_grad():
            old = (token_logprobs(reference, tokens) * mask[:, 1:]).sum(1)
        chosen, rejected = ((token_logprobs(model, tokens) * mask[:, 1:]).sum(1) - old).chunk(2)
        loss = -logsigmoid(settings["beta"] * (chosen - rejected)).mean()
        learn(loss)
        return loss.item(), length(batch), None

    return step


def length(batch: Any) -> int:
    return sum(len(each["tokens"]) for one in batch for each in one["sequences"])


def complete(model: Any, batch: Any, settings: Settings, group: int) -> tuple[Tensor, Tensor]:
    """Return tokens of prompts with completions, padded on the right, and which of them were drawn."""
    prompts = [one["tokens"] for one in batch]
    width, stop = max(map(len, prompts)), model.config.eos_token_id
    given, seen = torch.zeros(2, len(prompts), width, dtype=torch.int64)
    for row, prompt in enumerate(prompts):
        given[row, width - len(prompt) :], seen[row, width - len(prompt) :] = torch.tensor(prompt), 1
    with torch.no_grad():
        drawn = model.generate(
            input_ids=given, attention_mask=seen, do_sample=True, top_k=0, top_p=1.0, temperature=1.0,
            max_new_tokens=settings["new_tokens"], num_return_sequences=group, pad_token_id=stop,
        )[:, width:]  # fmt: skip
    made = []
    for prompt, completion in zip((p for p in prompts for _ in range(group)), drawn.tolist(), strict=True):
        end = completion.index(stop) + 1 if stop in completion else len(completion)
        made.append({"tokens": prompt + completion[:end], "begin": len(prompt)})
    return rows(made)


def shares(tokens: Tensor, mask: Tensor, wanted: Tensor) -> Tensor:
    """Return the share of drawn tokens that are wanted."""
    return (torch.isin(tokens, wanted) & mask).sum(1) / mask.sum(1)


def grpo(folder: Path, settings: Settings) -> Callable[[Any], Step]:
    model, group = opened(folder), settings["group"]
    learn, wanted = optimizer_of(model, settings["online_lr"]), torch.tensor(settings["wanted"])

    def step(batch: Any) -> Step:
        tokens, mask = complete(model, batch, settings, group)
        rewards = shares(tokens, mask, wanted)
        grouped = rewards.view(-1, group)
        advantages = ((grouped - grouped.mean(1, True)) / (grouped.std(1, keepdim=True) + 1e-4)).flatten()
        logprobs = token_logprobs(model, tokens)
        ratio = (logprobs - logprobs.detach()).exp()
        terms = torch.minimum(ratio * advantages[:, None], ratio.clamp(0.8, 1.2) * advantages[:, None])
        loss = -terms[mask[:, 1:]].mean()
        learn(loss)
        return loss.item(), int(mask.sum()), float(rewards.mean())

    return step


def ppo(folder: Path, settings: Settings) -> Callable[[Any], Step]:
    actor, reference = opened(folder), opened(folder)
    critic, judge = (opened(folder, "reward", AutoModelForSequenceClassification) for _ in range(2))
    learn, learn_values = optimizer_of(actor, settings["online_lr"]), optimizer_of(critic, settings["online_lr"])

    def values_of(tokens: Tensor) -> Tensor:
        return critic.score(critic.model(input_ids=tokens[:, :-1], use_cache=False)[0])[..., 0]

    def step(batch: Any) -> Step:
        tokens, whole = complete(actor, batch, settings, 1)
        mask, ends = whole[:, 1:], whole.shape[1] - 1 - whole.flip(1).int().argmax(1)
        with torch.no_grad():
            hidden = judge.model(input_ids=tokens, use_cache=False)[0]
            rewards = judge.score(hidden[torch.arange(len(tokens)), ends])[:, 0]
            first, values = token_logprobs(reference, tokens), values_of(tokens) * mask
        logprobs = token_logprobs(actor, tokens)
        old = logprobs.detach()
        gained = -0.01 * (old - first) * mask
        gained[torch.arange(len(tokens)), ends - 1] += rewards
        advantages, carried, following = torch.zeros_like(gained), torch.zeros(len(tokens)), torch.zeros(len(tokens))
        for at in reversed(range(mask.shape[1])):
            carried = (gained[:, at] + following - values[:, at] + 0.95 * carried) * mask[:, at]
            advantages[:, at], following = carried, values[:, at]
        returns = advantages + values
        found = values_of(tokens)
        near = values + (found - values).clamp(-0.2, 0.2)
        learn_values(0.5 * torch.maximum((found - returns) ** 2, (near - returns) ** 2)[mask].mean())
        advantages = (advantages - advantages[mask].mean()) / (advantages[mask].std() + 1e-8)
        ratio = (logprobs - old).exp()
        loss = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages)[mask].mean()
        learn(loss)
        return loss.item(), int(mask.sum()), float(rewards.mean())

    return step


def batches(method: str, folder: Path, steps: int) -> Iterator[Any]:
    return itertools.islice(json.loads((folder / f"{method}.steps.json").read_text()), steps)


def serve(method: str, folder: Path) -> None:
    """Run once for every line that comes in, and say what it took."""
    torch.set_num_threads(1)
    settings = json.loads((folder / "settings.json").read_text())
    for line in sys.stdin:
        torch.manual_seed(0)
        step = {"sft": sft, "dpo": dpo, "grpo": grpo, "ppo": ppo}[method](folder, settings)
        given = list(batches(method, folder, json.loads(line)["steps"]))
        began = time.process_time()
        told = [step(batch) for batch in given]
        cpu = time.process_time() - began
        losses, tokens, rewards = zip(*told, strict=True)
        answer = {"cpu": cpu, "tokens": sum(tokens), "losses": losses, "rewards": [r for r in rewards if r is not None]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(sys.argv[1], Path(sys.argv[2]))
