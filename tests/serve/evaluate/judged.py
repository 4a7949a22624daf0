"""What tests of judged tasks share: a small reward model and files of conversations."""

import json
import random

from tests.align import tiny
from tests.serve.evaluate.made import sentence


def reward_model(folder, seed=0, outputs=1, **more):
    """Save a small reward model of random weights, large enough to differ, and its tokenizer; return its path."""
    import torch
    import transformers

    names = tiny.tokenizer(folder)
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(names), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, num_labels=outputs, pad_token_id=names.eos_token_id,
        eos_token_id=names.eos_token_id, bos_token_id=None, initializer_range=0.5, **more,
    )  # fmt: skip
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    return str(folder)


def pairs(folder, count=12, seed=0):
    """Write preference pairs of two subsets, some of several turns; return the path and the records."""
    dice = random.Random(seed)
    records = []
    for number in range(count):
        prompt = [{"role": "user", "content": sentence(dice)}]
        if number % 3 == 0:
            prompt += [{"role": "assistant", "content": sentence(dice)}, {"role": "user", "content": sentence(dice)}]
        sides = [[{"role": "assistant", "content": sentence(dice)}] for _ in range(2)]
        records.append(
            {"prompt": prompt, "chosen": sides[0], "rejected": sides[1], "subset": ["easy", "hard"][number % 4 == 1]}
        )
    return write(folder / "pairs.jsonl", records), records


def write(path, records):
    """Write JSON Lines; return the path as text."""
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), "utf-8")
    return str(path)
