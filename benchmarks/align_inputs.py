"""What all sides of the alignment benchmark are given: a small Llama, its tokenizer, a reward model, and data.

Text is made of a few hundred invented words; each word of an answer is one of three that may follow the one before,
so that there is something to learn. Rejected answers are words in any order.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VOCABULARY = 512
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
METHODS = ("sft", "dpo", "grpo", "ppo")


@dataclass(frozen=True)
class Size:
    """How large model and data are. Written to settings.json, where a peer reads it."""

    hidden: int = 256
    layers: int = 4
    ffn: int = 688
    heads: int = 8
    answer_words: int = 48  # of SFT, median; a third of it in pairs
    even: bool = False  # all sequences of a method have the same number of tokens, so that nothing is padded
    sft_batch: int = 16  # examples a step
    dpo_batch: int = 8  # pairs
    prompts: int = 2  # of GRPO, a step
    group: int = 16  # completions of each; PPO has as many prompts
    new_tokens: int = 64
    steps: int = 4  # of a timed round
    online_steps: int = 2
    first_steps: int = 9  # of the first round, untimed, whose losses are compared; of PPO a third
    sft_lr: float = 1e-3
    dpo_lr: float = 1e-4
    online_lr: float = 1e-3
    beta: float = 0.1  # of DPO

    def batch(self, method: str) -> int:
        """Return examples or prompts a step."""
        each = {"sft": self.sft_batch, "dpo": self.dpo_batch, "grpo": self.prompts, "ppo": self.prompts * self.group}
        return each[method]

    def rounds(self, method: str) -> int:
        """Return the steps of a timed round."""
        return self.online_steps if method in ("grpo", "ppo") else self.steps

    def first(self, method: str) -> int:
        """Return the steps of the first round."""
        return max(self.first_steps // 3, 1) if method == "ppo" else self.first_steps

    def rate(self, method: str) -> float:
        """Return the learning rate."""
        return {"sft": self.sft_lr, "dpo": self.dpo_lr}.get(method, self.online_lr)


WANTED = tuple(range(VOCABULARY // 3))  # tokens that completions earn a reward by: their share of them


def make(folder: Path, size: Size = Size()) -> None:
    """Write model/, reward/, sft.jsonl, dpo.jsonl, prompts.jsonl and settings.json."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification

    folder.mkdir(parents=True)
    words = Words(random.Random(0))
    tokenizer = train_tokenizer(words)
    if size.even:
        words.level(tokenizer)
    for name, kind in (("model", LlamaForCausalLM), ("reward", LlamaForSequenceClassification)):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=VOCABULARY, hidden_size=size.hidden, intermediate_size=size.ffn, num_hidden_layers=size.layers,
            num_attention_heads=size.heads, num_key_value_heads=size.heads, max_position_embeddings=1024,
            tie_word_embeddings=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None, num_labels=1,
        )  # fmt: skip
        kind(config).save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    for method, lines in records(words, size).items():
        (folder / f"{method}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {**dataclasses.asdict(size), "wanted": WANTED}
    (folder / "settings.json").write_text(json.dumps(settings))


def read(folder: Path) -> Size:
    """Return the size a folder was made in."""
    found = json.loads((folder / "settings.json").read_text())
    return Size(**{field.name: found[field.name] for field in dataclasses.fields(Size)})


class Words:
    """Invented words, and which may follow which."""

    def __init__(self, choose: random.Random):
        self.choose = choose
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        self.words = sorted({"".join(choose.choices(syllables, k=choose.randint(1, 3))) for _ in range(400)})
        self.next = {word: choose.choices(self.words, k=3) for word in self.words}
        self.even = False

    def level(self, tokenizer: Any) -> None:
        """Keep to words of two tokens, with the space before them, and to one length."""
        self.words = [word for word in self.words if len(tokenizer.tokenize(" " + word)) == 2]
        self.next = {word: self.choose.choices(self.words, k=3) for word in self.words}
        self.even = True

    def follow(self, count: int) -> str:
        """Return an answer of words that may follow each other."""
        said = [self.choose.choice(self.words)]
        while len(said) < count:
            said.append(self.choose.choice(self.next[said[-1]]))
        return self.joined(said)

    def any(self, count: int) -> str:
        """Return words in any order."""
        return self.joined(self.choose.choices(self.words, k=count))

    def joined(self, said: list[str]) -> str:
        return "".join(f" {word}" for word in said) if self.even else " ".join(said)

    def length(self, median: float) -> int:
        """Draw a number of words, log-normal; the median where all are even."""
        if self.even:
            return round(median)
        return max(2, min(round(self.choose.lognormvariate(0, 0.6) * median), 4 * round(median)))


def train_tokenizer(words: Words) -> Any:
    """Return a byte-level BPE of VOCABULARY tokens with ChatML's, and a template without line ends after turns."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    made.train_from_iterator([" ".join(words.words) + " user assistant"], trainer)
    whole = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|pad|>")
    whole.chat_template = TEMPLATE
    return whole


def records(words: Words, size: Size) -> dict[str, list[dict[str, Any]]]:
    """Return what each file holds: as many as the first round needs."""

    def question() -> list[dict[str, str]]:
        return [{"role": "user", "content": words.any(words.length(10))}]

    def answer(text: str) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": text}]

    def pair() -> dict[str, Any]:
        lengths = [words.length(size.answer_words / 3) for _ in range(2)]
        return {
            "prompt": question(),
            "chosen": answer(words.follow(lengths[0])),
            "rejected": answer(words.any(lengths[1])),
        }

    def numbered(made: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{"id": str(number), **one} for number, one in enumerate(made)]

    counts = {method: size.first_steps * size.batch(method) for method in METHODS}
    return {
        "sft": numbered({"messages": question() + answer(words.follow(words.length(size.answer_words)))}
                        for _ in range(counts["sft"])),
        "dpo": numbered(pair() for _ in range(counts["dpo"])),
        "prompts": numbered({"prompt": question()} for _ in range(max(counts["grpo"], counts["ppo"]))),
    }  # fmt: skip
