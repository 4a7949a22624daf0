"""Micro-batches of instruction data: padding, balance over ranks, and what tokens with masks cost."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from align.batch import Example, TokenBatch
from align.config import Data
from align.data.balance import planned
from align.data.chat import Chat
from align.data.dataset import Loaded, load
from align.data.examples import Kind
from align.layout import packed, padded
from benchmarks.report import Setting, setting, spread, table, write_result

FILES: dict[str, Kind] = {
    "sft/alpaca_en_demo.json": "sequences",
    "sft/glaive_toolcall_en_demo.json": "sequences",
    "math/gsm8k_train_3000.jsonl": "sequences",
    "preference/dpo_en_demo_A.json": "pairs",
    "preference/hh_harmless_A.jsonl.gz": "pairs",
}
MAX_LENGTH, GLOBAL_BATCH, BUDGET, RANKS, FIXED = 1024, 64, 4096, 4, 8


def chat(given: Setting) -> Chat:
    """Return GPT-2's tokenizer with ChatML's control tokens."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(given.input("tokenizer/gpt2/tokenizer.json")), eos_token="<|endoftext|>"
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return Chat(tokenizer, "chatml")


def read(path: Path, kind: Kind, made: Chat) -> Loaded[Any]:
    """Return a file's examples."""
    data = Data(path=str(path), too_long="truncate")
    return load(data, made, kind, max_length=MAX_LENGTH, global_batch=GLOBAL_BATCH)


def padding(batches: Sequence[TokenBatch], tokens: int) -> float:
    """Return the share of cells that hold no token, in percent."""
    return 100 - 100 * tokens / sum(batch.tokens.numel() for batch in batches)


def laid_out(examples: Sequence[Example], packing: bool) -> list[TokenBatch]:
    """Return the micro-batches of all ranks."""
    plan = planned(examples, BUDGET, RANKS, packing=packing)
    chosen = [[examples[n] for n in one] for rank in plan for one in rank if one]
    return [packed(one, BUDGET) if packing else padded(one) for one in chosen]


def fullest(loads: Sequence[int]) -> float:
    """Return by how much the fullest rank is over the mean, in percent."""
    return 100 * max(loads) * len(loads) / sum(loads) - 100


def row(name: str, kind: Kind, given: Setting, made: Chat) -> list[str]:
    """Return a file's line of the table."""
    costs = []
    for _ in range(given.rounds):
        began = time.process_time()
        loaded = read(given.input(name), kind, made)
        costs.append(time.process_time() - began)
    train = loaded.train
    fixed, padded_plan, packed_plan, in_order, balanced = [], [], [], [], []
    for step in range(train.steps(1)):
        examples = train.batch(step)
        tokens = sum(one.length for one in examples)
        rows = [padded(examples[n : n + FIXED]) for n in range(0, len(examples), FIXED)]
        fixed.append(padding(rows, tokens))
        padded_plan.append(padding(laid_out(examples, False), tokens))
        packed_plan.append(padding(laid_out(examples, True), tokens))
        lengths = [one.length for one in examples]
        in_order.append(fullest([sum(lengths[n::RANKS]) for n in range(RANKS)]))
        plan = planned(examples, BUDGET, RANKS)
        balanced.append(fullest([sum(lengths[n] for one in rank for n in one) for rank in plan]))
    whole = sum(train.items[n].length for n in range(len(train)))
    return [
        name, kind, f"{len(train):,}", f"{whole:,}", spread([whole / cost / 1e3 for cost in costs], 0),
        spread(fixed, 1), spread(padded_plan, 1), spread(packed_plan, 1), spread(in_order, 1), spread(balanced, 1),
    ]  # fmt: skip


def main() -> None:
    """Measure every file and write the result."""
    with setting(__doc__ or "", with_peers=False) as given:
        made = chat(given)
        rows = [row(name, kind, given, made) for name, kind in FILES.items()]
        head = [
            "file", "kind", "examples", "tokens", "k tokens a CPU s", f"padding %, {FIXED} a micro-batch",
            "padding %, planned", "packed", "fullest rank %, dealt", "fullest rank %, packed",
        ]  # fmt: skip
        body = (
            f"GPT-2's tokenizer, template chatml, max_length {MAX_LENGTH}, truncated; global batches of {GLOBAL_BATCH} "
            f"examples in a shuffled order, {RANKS} data ranks, micro-batches of at most {BUDGET} cells. *k tokens a "
            "CPU s*: from the file to examples in memory: parsed, checked, rendered, tokenised, masked; one process. "
            f"Padding, by global batch: of {FIXED} examples as they come, each row as long as the longest; planned "
            "by length (`align.data.balance.planned`); planned and packed. *Fullest rank*: its tokens over the mean "
            "of the ranks: examples dealt out in turn; planned and packed.\n\n"
        )
        libraries = ["transformers", "tokenizers", "torch", "numpy"]
        write_result("instruction_batches", "Batches of instruction data", given, libraries, body + table(head, rows))


if __name__ == "__main__":
    main()
