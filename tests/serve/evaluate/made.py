"""Small files in the schema of each benchmark, made of seeded words: no line of the real ones."""

import json
import random

WORDS = (
    "the quick brown fox jumps over the lazy dog and counts from one to nine while Ada's naïve engine hums 3.5 times "
    "near São Paulo's café; nobody knows why"
).split()


def sentence(dice, least=3, most=12):
    return " ".join(dice.choice(WORDS) for _ in range(dice.randint(least, most)))


def hellaswag(dice, n):
    return {
        "ind": n, "activity_label": sentence(dice, 1, 3).title(), "ctx_a": sentence(dice) + ".",
        "ctx_b": sentence(dice, 0, 3), "label": str(dice.randrange(4)) if n % 2 else dice.randrange(4),
        "endings": [sentence(dice) + dice.choice(["", " [title] Then", " [step]  x", "."]) for _ in range(4)],
    }  # fmt: skip


def piqa(dice, n):
    return {"goal": sentence(dice), "sol1": sentence(dice), "sol2": sentence(dice), "label": dice.randrange(2)}


def winogrande(dice, n):
    return {
        "sentence": f"{sentence(dice)} _ {sentence(dice)}.", "option1": "Ada", "option2": sentence(dice, 1, 2),
        "answer": str(dice.randint(1, 2)),
    }  # fmt: skip


def arc_easy(dice, n):
    labels = ["A", "B", "C", "D"] if n % 3 else ["1", "2", "3"]
    return {
        "id": f"q{n}", "question": sentence(dice) + "?", "answerKey": dice.choice(labels),
        "choices": {"text": [sentence(dice, 1, 4) for _ in labels], "label": labels},
    }  # fmt: skip


def race(dice, n):
    problems = [
        {"question": sentence(dice) + dice.choice(["  _  .", "?"]), "answer": dice.choice("ABCD"),
         "options": [sentence(dice, 1, 5) for _ in range(4)]}
        for _ in range(dice.randint(1, 3))
    ]  # fmt: skip
    return {"article": " ".join(sentence(dice) + "." for _ in range(3)), "problems": str(problems)}


def mmlu(dice, n):
    return {
        "question": f" {sentence(dice)}? ", "choices": [sentence(dice, 1, 4) for _ in range(4)],
        "answer": dice.randrange(4), "subject": "high_school_biology",
    }  # fmt: skip


def perplexity(dice, n):
    return {"text": "\n".join(sentence(dice) for _ in range(dice.choice([1, 3, 60])))}


def gsm8k(dice, n):
    a, b = dice.randint(2, 999), dice.randint(2, 99)
    return {
        "question": f"Ada has {a} foxes and finds {b} more. How many?",
        "answer": f"She adds. {a} + {b} = <<{a}+{b}={a + b}>>{a + b}\n#### {a + b:,}",
    }  # fmt: skip


MAKERS = {
    one.__name__: one for one in (hellaswag, piqa, winogrande, arc_easy, race, mmlu, perplexity, gsm8k)
}  # fmt: skip


def write(folder, name, count=40, seed=0, as_=None):
    """Write `count` records of a benchmark as JSON Lines; return the path as text."""
    dice = random.Random(f"{name} {seed}")
    path = folder / f"{as_ or name}.jsonl"
    records = [MAKERS[name](dice, n) for n in range(count)]
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), "utf-8")
    return str(path)


def model(folder, kind="llama", seed=0, **more):
    """Save a tiny model whose weights are whole numbers over 5000: the same whatever torch draws."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from tests.align import tiny

    path = tiny.model(folder, kind, **more)
    network = AutoModelForCausalLM.from_pretrained(path)
    for name, weight in sorted(network.named_parameters()):
        drawn = np.random.default_rng([seed, *name.encode()]).integers(-1000, 1001, tuple(weight.shape)) / 5000
        scale = 1.0 if "norm" in name or ("ln_" in name and "weight" in name) else 0.0
        weight.data = torch.from_numpy(drawn + scale).float()
    network.save_pretrained(path)
    return path
