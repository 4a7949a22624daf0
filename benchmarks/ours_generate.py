"""Both sides of benchmarks.rollout_speed in one process, in turn: completions a model draws, and their CPU seconds.

python -m benchmarks.ours_generate ROUNDS TOKENS ANSWER
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from align.rollout.generator import Request, Sampling
from align.rollout.transformers import TransformersGenerator

ROWS, STOP = 16, 7
MODELS = {"3.5 M": (512, 704, 8), "7.4 M": (8192, 704, 8), "7.0 M, 2 key-value heads": (8192, 704, 2)}
CASES = {
    "16 prompts of 32 tokens": "equal",
    "16 prompts of 16 to 47 tokens": "ragged",
    "2 prompts of 64 tokens, 8 completions each": "groups",
    "2 prompts of 64 tokens, 8 completions each, that end": "ends",
}


def model(vocabulary: int, intermediate: int, key_value_heads: int) -> Any:
    """Return a Llama of width 256 and 4 layers with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=256, intermediate_size=intermediate, num_hidden_layers=4,
        num_attention_heads=8, num_key_value_heads=key_value_heads, max_position_embeddings=1024,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    made = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        made.lm_head.weight[STOP] *= 3  # so that some completions end, and some early
    return made


def prompts(case: str) -> list[np.ndarray]:
    """Return 16 prompts."""
    rng = np.random.default_rng(0)
    if case == "equal":
        return [rng.integers(8, 512, 32) for _ in range(ROWS)]
    if case == "ragged":
        return [rng.integers(8, 512, 16 + 31 * i // (ROWS - 1)) for i in range(ROWS)]
    return [one for one in (rng.integers(8, 512, 64) for _ in range(2)) for _ in range(ROWS // 2)]


def ours(made: Any, given: list[np.ndarray], tokens: int, stop: tuple[int, ...], round_: int) -> int:
    """Complete; return how many tokens."""
    asked = [Request(one, round_ * ROWS + i) for i, one in enumerate(given)]
    drawn = TransformersGenerator(made).generate(asked, Sampling(max_tokens=tokens, stop=stop))
    return sum(len(one.tokens) for one in drawn)


def theirs(made: Any, given: list[np.ndarray], tokens: int, stop: tuple[int, ...], round_: int) -> int:
    """Complete by model.generate; return how many tokens, up to and with the end token."""
    width = max(map(len, given))
    ids, mask = torch.zeros(len(given), width, dtype=torch.long), torch.zeros(len(given), width, dtype=torch.long)
    for row, one in enumerate(given):
        ids[row, width - len(one) :], mask[row, width - len(one) :] = torch.from_numpy(one), 1
    torch.manual_seed(round_)
    with torch.no_grad():
        out = made.generate(
            ids, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=tokens, pad_token_id=0,
            eos_token_id=list(stop) or None,
        )[:, width:]  # fmt: skip
    ended = torch.isin(out, torch.tensor(stop)) if stop else torch.zeros_like(out, dtype=torch.bool)
    before = ended.long().cumsum(1) - ended.long()
    return int((before == 0).sum())


def main(rounds: int, tokens: int, answer: Path) -> None:
    """Run all models and cases."""
    torch.set_num_threads(1)
    sides: dict[str, Callable[..., int]] = {"ours": ours, "generate": theirs}
    told: list[dict[str, Any]] = []
    for size, shape in MODELS.items():
        made = model(*shape)
        for label, case in CASES.items():
            given, stop = prompts(case), (STOP,) if case == "ends" else ()
            for side in sides.values():
                side(made, given, 4, stop, 0)
            for round_ in range(rounds):
                for name, side in sides.items():
                    began = time.process_time()
                    count = side(made, given, tokens, stop, round_)
                    took = time.process_time() - began
                    told.append({"model": size, "case": label, "side": name, "tokens": count, "cpu": took})
    answer.write_text(json.dumps(told))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
