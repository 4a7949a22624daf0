"""All sides of benchmarks.serve_engine in one process, in turn: greedy completions, their CPU seconds and tokens.

python -m benchmarks.ours_engine ROUNDS TOKENS ANSWER
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from serve.engine.engine import BlockEngine
from serve.engine.opening import open_engine
from serve.engine.request import Drawing, Told, Wanted
from serve.engine.settings import EngineSettings
from serve.model import find

CLIENTS, ALONE = 16, 4  # requests in flight; requests one after another
MODELS = {
    "7.4 M (width 256, 4 layers)": (256, 4, 4, 4, 688),
    "25.8 M (width 512, 6 layers, 4 of 8 heads)": (512, 6, 8, 4, 1376),
}
VOCABULARY = 8192
Tokens = list[list[int]]


def model(width: int, layers: int, heads: int, key_value_heads: int, ffn: int) -> Any:
    """Return a Llama with random weights, large enough that its logits are far from even."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=width, intermediate_size=ffn, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=key_value_heads, max_position_embeddings=1024,
        initializer_range=0.05, bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def prompts() -> list[np.ndarray]:
    """Return 16 prompts of 32 to 92 tokens."""
    rng = np.random.default_rng(0)
    return [rng.integers(8, VOCABULARY, 32 + 4 * i) for i in range(CLIENTS)]


def ours(engine: BlockEngine, given: list[np.ndarray], tokens: int, in_flight: int) -> Tokens:
    """Complete, `in_flight` at a time."""
    made: Tokens = [[] for _ in given]
    left = threading.Semaphore(in_flight)
    for place, prompt in enumerate(given):
        left.acquire()

        def tell(told: Told, place: int = place) -> None:
            made[place] += [token.id for token in told.tokens]
            if told.finish is not None:
                left.release()

        engine.submit(Wanted(prompt, tokens, Drawing(temperature=0)), tell)
    for _ in range(in_flight):
        left.acquire()
    return made


def generate(made: Any, given: list[np.ndarray], tokens: int) -> Tokens:
    """Complete by model.generate, in one batch padded on the left."""
    width = max(map(len, given))
    ids, mask = torch.zeros(len(given), width, dtype=torch.long), torch.zeros(len(given), width, dtype=torch.long)
    for row, one in enumerate(given):
        ids[row, width - len(one) :], mask[row, width - len(one) :] = torch.from_numpy(one), 1
    with torch.inference_mode():
        out = made.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=tokens, pad_token_id=0)
    return [row[width:] for row in out.tolist()]


def continuous(made: Any, given: list[np.ndarray], tokens: int) -> Tokens:
    """Complete by transformers' continuous batching, with a cache of a size that it sets up quickly."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    found = made.generate_batch(
        [one.tolist() for one in given],
        GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1, pad_token_id=0),
        ContinuousBatchingConfig(num_blocks=128, max_batch_tokens=256),
        warmup=False,
    )
    ordered = sorted(found.items(), key=lambda one: int(one[0].rpartition("_")[2]))
    return [one.generated_tokens for _, one in ordered]


def measured(run: Callable[[], Tokens]) -> tuple[float, Tokens]:
    """Return the CPU seconds of this process, and the tokens."""
    start = time.process_time()
    made = run()
    return time.process_time() - start, made


def main() -> None:
    """Measure and write the answer."""
    rounds, tokens, answer = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    told: list[dict[str, Any]] = []
    for name, shape in MODELS.items():
        made, given = model(*shape), prompts()
        with tempfile.TemporaryDirectory() as folder:
            made.save_pretrained(folder)
            engine = open_engine(find(folder), EngineSettings(share_prefixes=False, cache_bytes=1 << 28))
        sides: dict[str, Callable[[], Tokens]] = {
            "ours, 16 in flight": lambda e=engine, g=given: ours(e, g, tokens, CLIENTS),  # type: ignore[misc]
            "ours, 1 in flight": lambda e=engine, g=given: ours(e, g[:ALONE], tokens, 1),  # type: ignore[misc]
            "generate, batch of 16": lambda m=made, g=given: generate(m, g, tokens),  # type: ignore[misc]
            "generate_batch": lambda m=made, g=given: continuous(m, g, tokens),  # type: ignore[misc]
        }
        for round_ in range(rounds + 1):  # the first warms up
            reference: Tokens = []
            for side, run in reversed(sides.items()) if round_ % 2 else sides.items():
                cpu, found = measured(run)
                reference = found if side.startswith("generate,") else reference
                if round_:
                    one = {"model": name, "side": side, "cpu": cpu, "tokens": sum(map(len, found)), "found": found}
                    told.append(one)
            for one in told[-len(sides) :] if round_ else []:
                one["same"] = sum(a == b for a, b in zip(one["found"], reference))
                one["rows"] = len(one.pop("found"))
        engine.close()
    answer.write_text(json.dumps(told))


if __name__ == "__main__":
    main()
