"""What both sides of the evaluation benchmark are given: a small Llama, its tokenizer, and files cut from the corpus.

Items have the schema and about the lengths of the benchmarks they are named after; which answer is right is drawn.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

VOCABULARY, HIDDEN, LAYERS, POSITIONS = 4096, 256, 4, 1024
MADE = {"hellaswag": 120, "arc_easy": 150, "winogrande": 150, "mmlu": 60, "mmlu_dev": 5, "perplexity": 40, "gsm8k": 16,
        "gsm8k_dev": 8}  # fmt: skip


def make(folder: Path, corpus: Path, scale: float) -> None:
    """Write model and files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    given = texts(corpus, 400)
    files(folder, given, scale)
    model(folder / "model", given)


def model(folder: Path, texts: list[str]) -> None:
    """Save a Llama of random weights, whose tokenizer is learnt from texts."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    made.train_from_iterator(texts, trainer)
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|endoftext|>").save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=688, num_hidden_layers=LAYERS,
        num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=POSITIONS, eos_token_id=0,
        bos_token_id=None, initializer_range=0.06,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def texts(corpus: Path, count: int) -> list[str]:
    """Return the first texts of the corpus of at least 200 words."""
    import pyarrow.parquet as pq

    found: list[str] = []
    for batch in pq.ParquetFile(corpus).iter_batches(1024, columns=["text"]):
        found += [one for one in batch.column("text").to_pylist() if len(one.split()) >= 200]
        if len(found) >= count:
            break
    return found[:count]


def files(folder: Path, given: list[str], scale: float = 1.0) -> None:
    """Write a file of each benchmark."""
    for name, count in MADE.items():
        dice = random.Random(name)
        words = _spans(given, dice)
        maker = MAKERS[name.removesuffix("_dev")]
        records = [maker(words, dice) for _ in range(max(5, int(count * scale)))]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))


Words = Callable[[int], str]


def _spans(given: list[str], dice: random.Random) -> Words:
    def span(count: int) -> str:
        words = dice.choice(given).split()
        begin = dice.randrange(max(1, len(words) - count))
        return " ".join(words[begin : begin + count])

    return span


def _hellaswag(words: Words, dice: random.Random) -> dict[str, Any]:
    return {"activity_label": words(2), "ctx_a": words(35), "ctx_b": words(5),
            "endings": [words(25) for _ in range(4)], "label": dice.randrange(4)}  # fmt: skip


def _arc(words: Words, dice: random.Random) -> dict[str, Any]:
    labels = list("ABCD")
    return {"question": words(20), "choices": {"text": [words(4) for _ in labels], "label": labels},
            "answerKey": dice.choice(labels)}  # fmt: skip


def _winogrande(words: Words, dice: random.Random) -> dict[str, Any]:
    return {"sentence": f"{words(12).replace('_', ' ')} _ {words(6)}.", "option1": words(1), "option2": words(1),
            "answer": str(dice.randint(1, 2))}  # fmt: skip


def _mmlu(words: Words, dice: random.Random) -> dict[str, Any]:
    return {"question": words(25), "choices": [words(6) for _ in range(4)], "answer": dice.randrange(4),
            "subject": "high_school_biology"}  # fmt: skip


def _perplexity(words: Words, dice: random.Random) -> dict[str, Any]:
    return {"text": words(dice.choice([100, 300, 1500]))}


def _gsm8k(words: Words, dice: random.Random) -> dict[str, Any]:
    return {"question": words(45), "answer": f"{words(40)}\n#### {dice.randint(1, 999)}"}


MAKERS: dict[str, Callable[[Words, random.Random], dict[str, Any]]] = {
    "hellaswag": _hellaswag, "arc_easy": _arc, "winogrande": _winogrande, "mmlu": _mmlu, "perplexity": _perplexity,
    "gsm8k": _gsm8k,
}  # fmt: skip


def tasks(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what the harness is asked; ours are the same names and files."""
    of = {"hellaswag": "hellaswag/hellaswag.yaml", "arc_easy": "arc/arc_easy.yaml",
          "winogrande": "winogrande/default.yaml", "mmlu": "mmlu/default/mmlu_high_school_biology.yaml",
          "perplexity": "wikitext/wikitext.yaml", "gsm8k": "gsm8k/gsm8k.yaml"}  # fmt: skip
    more = {
        "perplexity": ['doc_to_target: "{{text}}"', "process_results: null", "should_decontaminate: false"],
        "gsm8k": ["generation_kwargs:", '  until: ["Question:", "</s>", "<|im_end|>"]', "  do_sample: false",
                  "  temperature: 0.0", "  max_gen_toks: 48"],
    }  # fmt: skip
    for name, file in of.items():
        task: dict[str, Any] = {"name": name, "of": file, "path": str(folder / f"{name}.jsonl")}
        if name in ("mmlu", "gsm8k"):
            task |= {"shots": 5, "examples": str(folder / f"{name}_dev.jsonl")}
        yield {**task, "more": more.get(name, [])}
