"""Completions by a Megatron policy itself, on its own weights: nothing is copied and nothing can be stale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from align.backends.megatron.policy import MegatronPolicy
from align.errors import AlignSettingsError, RolloutError
from align.rollout.generator import Request, Rollout, Sampling
from align.rollout.sampling import check, draw
from pretrain.mcore import state
from pretrain.mcore.sequences import Decoder


class MegatronGenerator:
    """A policy's own model with a cache of keys and values. All ranks of a data rank are given the same requests.

    Tensor-parallel ranks draw the same tokens from the same logits; other stages of the pipeline are told them.
    """

    def __init__(self, policy: MegatronPolicy):
        if policy.head != "lm":
            raise AlignSettingsError(f"a policy with head {policy.head} completes nothing; head lm does")
        if (policy.config.parallel.expert or 1) > 1:
            raise AlignSettingsError(
                "experts that are spread over ranks want all of these to generate in step, and the queue of prompts "
                "does not: set parallel.expert to 1, or rollouts.engine to http"
            )
        self.policy, self.version, self.leads = policy, policy.version, state.leads()

    def share(self, store: Any) -> Any:
        """Return a queue's store for the ranks of one copy of the model: the first takes a chunk, the others too."""
        return _Shared(store)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """Complete prompts, in the order given. Raises RolloutError for prompts that leave no room.

        A pass is one token of every completion that has not ended; those that have give their memory back.
        """
        check(sampling)
        if not requests:
            return []
        self._fits(requests, sampling.max_tokens)
        self.policy.ready()
        decoder = Decoder(self.policy.engine, [request.prompt for request in requests], sampling.max_tokens)
        seeds = torch.tensor([request.seed for request in requests], dtype=torch.int64)
        tokens: list[list[int]] = [[] for _ in requests]
        logprobs: list[list[float]] = [[] for _ in requests]
        alive = list(range(len(requests)))
        logits = decoder.prompts()
        for position in range(sampling.max_tokens):
            drawn, likely = self._draw(logits, sampling, seeds[alive], position)
            for number, token, logprob in zip(alive, drawn.tolist(), likely.tolist(), strict=True):
                tokens[number].append(token)
                logprobs[number].append(logprob)
            going = [n for n, token in enumerate(drawn.tolist()) if token not in sampling.stop]
            if not going or position == sampling.max_tokens - 1:
                break
            if len(going) < len(alive):
                decoder.keep(torch.tensor(going))
                alive, drawn = [alive[n] for n in going], drawn[going]
            logits = decoder.step(drawn)
        return [self._rollout(*made, sampling) for made in zip(tokens, logprobs, strict=True)]

    def _draw(self, logits: Tensor | None, sampling: Sampling, seeds: Tensor, position: int) -> tuple[Tensor, Tensor]:
        """Draw on the last stage and tell the others; float64 carries tokens exactly."""
        told = torch.zeros((2, len(seeds)), dtype=torch.float64, device=torch.cuda.current_device())
        if logits is not None:
            told[0], told[1] = draw(logits, sampling, seeds.to(logits.device), position)
        told = self.policy.engine.tell(told).cpu()
        return told[0].long(), told[1].float()

    def _rollout(self, tokens: list[int], logprobs: list[float], sampling: Sampling) -> Rollout:
        ended = tokens[-1] in sampling.stop
        return Rollout(
            np.array(tokens, np.int64), np.array(logprobs, np.float32), "stop" if ended else "length", self.version
        )

    def _fits(self, requests: Sequence[Request], max_tokens: int) -> None:
        positions, vocabulary = self.policy.model.positions or 0, self.policy.model.vocab_size or 0
        for request in requests:
            if not len(request.prompt):
                raise RolloutError("a prompt is empty; it needs at least one token")
            if len(request.prompt) + max_tokens > positions:
                raise RolloutError(
                    f"a prompt of {len(request.prompt)} tokens and rollouts.max_tokens {max_tokens} are more than the "
                    f"model's {positions} positions"
                )
            if not 0 <= int(request.prompt.min()) <= int(request.prompt.max()) < vocabulary:
                raise RolloutError(f"a prompt holds a token outside of the model's 0 to {vocabulary - 1}")

    def update(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Note the version: the weights are the policy's own."""
        self.version = version

    def sleep(self) -> None:
        """Keep nothing: a cache lives as long as `generate` runs."""

    def wake(self) -> None:
        """Be ready, as always."""


class _Shared:
    def __init__(self, store: Any):
        self._store = store

    def add(self, key: str, amount: int) -> int:
        return state.told(self._store.add(key, amount) if state.leads() else 0)
