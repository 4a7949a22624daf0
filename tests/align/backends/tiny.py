"""Tiny models of three families in folders, examples for them, losses, and a bare model to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from align.backends.settings import PolicySettings
from align.batch import Example, TokenSequence
from align.config import Model
from pretrain.config import Optimizer

VOCABULARY = 61
# A large epsilon: of gradients that are rounding errors alone Adam makes whole steps, one way or the other.
ADAM = Optimizer(lr=1e-2, min_lr=1e-3, weight_decay=0.1, warmup_steps=1, clip=0.5, eps=1e-3)


def make(path: Path | str, family: str = "llama", head: str = "lm", seed: int = 0, **changes: Any) -> str:
    """Write a folder with a model of random weights, large enough that its logits are far from even."""
    import transformers

    rope = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64, "initializer_range": 0.2,
        "eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip
    made: dict[str, Any] = {
        "llama": lambda: transformers.LlamaConfig(**rope | changes),
        "qwen2": lambda: transformers.Qwen2Config(**rope | {"tie_word_embeddings": True} | changes),
        "mistral": lambda: transformers.MistralConfig(**rope | {"sliding_window": 4} | changes),
        "mixtral": lambda: transformers.MixtralConfig(**rope | {"num_local_experts": 4} | changes),
        "gpt2": lambda: transformers.GPT2Config(**{
            "vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64,
            "initializer_range": 0.2, "eos_token_id": 0, "bos_token_id": 0} | changes),
    }  # fmt: skip
    config = made[family]()
    kind = transformers.AutoModelForCausalLM if head == "lm" else transformers.AutoModelForSequenceClassification
    torch.manual_seed(seed)
    kind.from_config(config, dtype=torch.float32).save_pretrained(path)
    tokenizer(path)
    return str(path)


def tokenizer(path: Path | str) -> None:
    """Train a byte-pair tokenizer in memory and write it there."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        ["a tiny set of words", "words of a set"],
        trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<end>", "<unk>"], show_progress=False),
    )
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<end>", pad_token="<end>").save_pretrained(path)


def examples(lengths: Sequence[int], seed: int = 0, **fields: Any) -> list[Example]:
    """Return examples of one sequence each, the first third of which is a prompt."""
    random = np.random.default_rng(seed)
    made = []
    for number, length in enumerate(lengths):
        mask = np.arange(length) >= max(1, length // 3)
        tokens = random.integers(1, VOCABULARY, length)
        made.append(Example(str(number), (TokenSequence(tokens, mask),), fields))
    return made


def settings(folder: str, **changes: Any) -> PolicySettings:
    """Return settings of a policy that is trained."""
    peft = changes.pop("peft", None)
    model = Model(peft=peft, precision=changes.pop("precision", "fp32"), recompute=changes.pop("recompute", False))
    return PolicySettings(**{"start_from": folder, "model": model, "optimizer": ADAM, "steps": 10} | changes)


class CrossEntropy:
    """Cross entropy of the learnt tokens, and a little entropy."""

    needs = frozenset({"logprobs", "entropy"})

    def __call__(self, outputs: Any, batch: Any, counts: Any) -> Any:
        weight = batch.mask.float()
        total = -(outputs.logprobs * weight).sum()
        spread = (outputs.entropy * weight).sum()
        learnt = weight.sum()
        metrics = {"nll": (total.detach(), learnt), "entropy": (spread.detach(), learnt)}
        return (total - 0.1 * spread) / counts["tokens"], metrics


class Squares:
    """Values or scores against numbers that depend on the tokens alone."""

    def __init__(self, need: str):
        self.need, self.needs = need, frozenset({need})

    def __call__(self, outputs: Any, batch: Any, counts: Any) -> Any:
        if self.need == "values":
            wanted, weight = (batch.labels % 7).float(), batch.mask.float()
            errors = (outputs.values - wanted).square() * weight
        else:
            wanted, weight = (batch.lengths % 5).float()[:, None], (batch.example >= 0).float()[:, None]
            errors = (outputs.scores - wanted).square() * weight
        return errors.sum() / counts["tokens"], {"error": (errors.sum().detach(), weight.sum())}


def counts(made: Sequence[Example]) -> dict[str, float]:
    """Return the learnt tokens of a global batch."""
    return {"tokens": float(sum(one.mask.sum() for example in made for one in example.sequences))}
