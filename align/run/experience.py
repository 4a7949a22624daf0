"""The policy's own completions of prompts: drawn, rewarded, and turned into examples."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from align.batch import Example, TokenSequence
from align.data.examples import Prompt
from align.rewards.reward import Completion
from align.rollout.generator import Request, Rollout
from align.run.samples import Sample


@dataclass(frozen=True)
class Experience:
    """Completions of one step, n in all, those of a prompt side by side; the same on every rank."""

    prompts: tuple[Prompt, ...]  # n: a prompt stands once for each of its completions
    rollouts: tuple[Rollout, ...]
    completions: tuple[Completion, ...]
    rewards: np.ndarray  # float64 (n,)
    by_name: dict[str, np.ndarray] = field(default_factory=dict)  # name of a reward -> float64 (n,)

    @property
    def group(self) -> Tensor:
        """Return int64 (n,): which prompt a completion answers."""
        return torch.tensor(np.cumsum([0, *(a is not b for a, b in itertools.pairwise(self.prompts))]))

    def sequences(self) -> list[TokenSequence]:
        """Return prompts with their completions, which are to be learnt; fields: generated_logprobs."""
        return [_sequence(prompt, rollout) for prompt, rollout in zip(self.prompts, self.rollouts)]

    def examples(self) -> list[Example]:
        """Return an example a completion."""
        return [Example(prompt.id, (one,)) for prompt, one in zip(self.prompts, self.sequences())]

    def take(self, kept: Sequence[int]) -> Experience:
        """Return some of the completions."""
        return Experience(
            tuple(self.prompts[i] for i in kept), tuple(self.rollouts[i] for i in kept),
            tuple(self.completions[i] for i in kept), self.rewards[list(kept)],
            {name: values[list(kept)] for name, values in self.by_name.items()},
        )  # fmt: skip

    def and_then(self, more: Experience) -> Experience:
        """Return these completions and more."""
        return Experience(
            self.prompts + more.prompts, self.rollouts + more.rollouts, self.completions + more.completions,
            np.concatenate([self.rewards, more.rewards]),
            {name: np.concatenate([values, more.by_name[name]]) for name, values in self.by_name.items()},
        )  # fmt: skip

    def with_rewards(self, rewards: np.ndarray, **by_name: np.ndarray) -> Experience:
        """Return the completions with other rewards, and what else they were made of."""
        return replace(self, rewards=rewards, by_name=self.by_name | by_name)

    def of_prompts(self, prompts: Mapping[str, Prompt]) -> Experience:
        """Return the completions as answers to other wordings of their prompts, by the prompts' ids."""
        return replace(self, prompts=tuple(prompts[one.id] for one in self.prompts))

    def facts(self) -> dict[str, float]:
        """Return what is logged of completions: rewards, lengths, how many ended by themselves."""
        lengths = np.array([len(rollout.tokens) for rollout in self.rollouts], float)
        facts = {
            "length": lengths.mean(), "length_max": lengths.max(),
            "finished": np.mean([rollout.finish == "stop" for rollout in self.rollouts]),
            "entropy": self.entropy,
        }  # fmt: skip
        if self.by_name:
            facts |= {"reward": self.rewards.mean(), "reward_std": self.rewards.std()}
        if len(self.by_name) > 1:
            facts |= {f"reward/{name}": values.mean() for name, values in self.by_name.items()}
        return {name: float(value) for name, value in facts.items()}

    @property
    def entropy(self) -> float:
        """Return nats a token of what drew them: the mean of -log-probabilities of its own draws estimates it.

        It has no bias and costs nothing; its variance is that of a draw's surprise over the number of tokens.
        """
        drawn = np.concatenate([rollout.logprobs for rollout in self.rollouts])
        return float(-drawn.mean()) if len(drawn) else 0.0

    def samples(self, most: int) -> list[Sample]:
        """Return the first completions of the first prompts, for the table."""
        firsts = [i for i in range(len(self.prompts)) if i == 0 or self.prompts[i] is not self.prompts[i - 1]]
        return [self._sample(i) for i in firsts[:most]]

    def _sample(self, i: int) -> Sample:
        rollout, completion = self.rollouts[i], self.completions[i]
        return Sample(
            prompt_id=self.prompts[i].id, prompt=completion.prompt, text=completion.text, reward=float(self.rewards[i]),
            rewards={name: float(values[i]) for name, values in self.by_name.items()}, length=len(rollout.tokens),
            finished=completion.finished, version=rollout.version,
        )  # fmt: skip


def _sequence(prompt: Prompt, rollout: Rollout) -> TokenSequence:
    tokens = np.concatenate([prompt.tokens, rollout.tokens]).astype(np.int64)
    mask = np.arange(len(tokens)) >= len(prompt.tokens)
    logprobs = np.zeros(len(tokens) - 1, np.float32)
    logprobs[len(prompt.tokens) - 1 :] = rollout.logprobs
    return TokenSequence(tokens, mask, {"generated_logprobs": logprobs})


def requests(prompts: Sequence[Prompt], group_size: int, *seeds: object) -> list[Request]:
    """Return what is asked of a generator; a completion's seed is a hash of `seeds` and its place among them."""
    wanted = [prompt for prompt in prompts for _ in range(group_size)]
    return [Request(prompt.tokens, _seed(*seeds, prompt.id, place)) for place, prompt in enumerate(wanted)]


def _seed(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little", signed=True)


def stacked(examples: Sequence[Example], name: str) -> Tensor:
    """Return a field of all sequences' tokens, float32 (n, t), 0 past the end."""
    rows = [torch.from_numpy(np.asarray(one.token_fields[name], np.float32)) for e in examples for one in e.sequences]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def masks(examples: Sequence[Example]) -> Tensor:
    """Return which tokens were generated, bool (n, t)."""
    rows = [torch.from_numpy(one.mask[1:]) for example in examples for one in example.sequences]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def with_rows(examples: Sequence[Example], **fields: Tensor) -> list[Example]:
    """Return examples of one sequence each with further fields of tokens, from rows of (n, t) tensors."""
    made = []
    for number, example in enumerate(examples):
        (one,) = example.sequences
        rows = {name: values[number, : len(one.tokens) - 1].float().numpy() for name, values in fields.items()}
        made.append(replace(example, sequences=(replace(one, token_fields={**one.token_fields, **rows}),)))
    return made
