"""Tiny models and requests for the tests of rollouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from align.rollout.generator import Request, Rollout

VOCAB = 61


def llama(seed: int = 0, **changes: Any) -> Any:
    """A Llama of 2 layers with grouped queries, whose logits are spread enough to have favourites."""
    from transformers import LlamaConfig, LlamaForCausalLM

    given = {
        "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.15,
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": None,
    }  # fmt: skip
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**given | changes)).eval()


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    config = GPT2Config(vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_positions=512, initializer_range=0.15,
                        bos_token_id=None, eos_token_id=None)  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def mistral() -> Any:
    """Its window of 16 tokens is shorter than the sequences: layers that do not keep all."""
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(2)
    config = MistralConfig(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                           num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=512, sliding_window=16,
                           initializer_range=0.15, bos_token_id=None, eos_token_id=None)  # fmt: skip
    return MistralForCausalLM(config).eval()


def requests(count: int, longest: int = 24, seed: int = 0) -> list[Request]:
    """Prompts of 1 to `longest` tokens, each with a seed of its own."""
    rng = np.random.default_rng(seed)
    return [Request(rng.integers(0, VOCAB, rng.integers(1, longest + 1)), 1000 + i) for i in range(count)]


def forward_logprobs(model: Any, request: Request, rollout: Rollout, temperature: float = 1.0) -> np.ndarray:
    """Log-probabilities of a completion by one pass over the whole, without a cache."""
    whole = torch.from_numpy(np.concatenate([request.prompt, rollout.tokens]))
    with torch.no_grad():
        logits = model(input_ids=whole[None]).logits[0, -len(whole) :].float() / (temperature or 1.0)
    chosen = logits[:-1].log_softmax(-1).gather(-1, whole[1:, None])[:, 0]
    return chosen[len(request.prompt) - 1 :].numpy()


def same(a: Rollout, b: Rollout) -> bool:
    """Whether two completions are one: tokens, finish and version equal, log-probabilities to rounding."""
    close = len(a.logprobs) == len(b.logprobs) and np.allclose(a.logprobs, b.logprobs, rtol=0, atol=1e-5)
    return close and a.tokens.tolist() == b.tokens.tolist() and (a.finish, a.version) == (b.finish, b.version)
