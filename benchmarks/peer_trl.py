"""TRL's side of benchmarks/align_speed.py: METHOD FOLDER [PASS]; runs in the peers' interpreter, alone with them.

For each line {"steps": n} a run of n steps from the first weights; says its CPU seconds from the beginning of training
to its end, without loading and without tokenising. Tuned for a CPU: float32, no checkpointing of activations, no
padding to multiples, a fused AdamW, nothing logged but in the first run, whose losses are compared. PASS: examples a
forward pass, which wastes less on padding; the step's whole batch where it is not given.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
Settings = dict[str, Any]


def arguments(method: str, settings: Settings, steps: int, passing: str, logged: bool, each: int) -> dict[str, Any]:
    """Return what all trainers are told."""
    rate = {"sft": settings["sft_lr"], "dpo": settings["dpo_lr"]}.get(method, settings["online_lr"])
    rows = settings[f"{method}_batch"] if method != "grpo" else settings["prompts"] * settings["group"]
    return {
        "output_dir": passing, "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "report_to": "none",
        "save_strategy": "no", "logging_strategy": "steps" if logged else "no", "logging_steps": 1,
        "disable_tqdm": True, "max_steps": steps, "per_device_train_batch_size": each or rows,
        "gradient_accumulation_steps": rows // (each or rows), "learning_rate": rate,
        "lr_scheduler_type": "constant", "warmup_steps": 0, "weight_decay": 0.0, "max_grad_norm": 1.0,
        "optim": "adamw_torch_fused", "dataloader_pin_memory": False, "seed": 0,
    }  # fmt: skip


def ordered(method: str, folder: Path, steps: int) -> Any:
    """Return the records in the order that all sides take them, and the tokens they should come to."""
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    name = "prompts" if method == "grpo" else method
    records = {line["id"]: line for line in map(json.loads, (folder / f"{name}.jsonl").read_text().splitlines())}
    order = json.loads((folder / f"{method}.steps.json").read_text())[:steps]
    made, tokens = [], []
    for one in (one for batch in order for one in batch):
        record = records[one["id"]]
        if method == "sft":
            record = {"prompt": record["messages"][:-1], "completion": record["messages"][-1:]}
        made.append({name: value for name, value in record.items() if name != "id"})
        tokens.append([each["tokens"] for each in one["sequences"]] if method != "grpo" else [one["tokens"]])
    return Dataset.from_list(made), tokens


class Counted:
    """Rewards completions by the share of wanted tokens, and counts their tokens."""

    __name__ = "pattern"

    def __init__(self, wanted: list[int]):
        self.wanted, self.tokens, self.means = set(wanted), 0, list[float]()

    def __call__(self, completion_ids: list[list[int]], **_: Any) -> list[float]:
        self.tokens += sum(map(len, completion_ids))
        rewards = [sum(token in self.wanted for token in ids) / max(len(ids), 1) for ids in completion_ids]
        self.means.append(sum(rewards) / len(rewards))
        return rewards


def trainer(method: str, folder: Path, settings: Settings, steps: int, passing: str, logged: bool, each: int) -> Any:
    """Return a trainer, loaded, with what it will have seen: tokens, rewards."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

    def opened() -> Any:
        return AutoModelForCausalLM.from_pretrained(folder / "model", attn_implementation="sdpa")

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    data, expected = ordered(method, folder, steps)
    told = arguments(method, settings, steps, passing, logged, each)
    given: dict[str, Any] = {"model": opened(), "train_dataset": data, "processing_class": tokenizer}
    if method == "grpo":
        counted = Counted(settings["wanted"])
        config = GRPOConfig(
            **told, num_generations=settings["group"], max_completion_length=settings["new_tokens"], beta=0.0,
            shuffle_dataset=False,
        )  # fmt: skip
        return GRPOTrainer(**given, args=config, reward_funcs=counted), counted
    if method == "sft":
        made = SFTTrainer(**given, args=SFTConfig(**told, max_length=1024, train_sampling_strategy="sequential"))
        found = [[row["input_ids"]] for row in made.train_dataset]
    else:
        config = DPOConfig(**told, max_length=1024, beta=settings["beta"], train_sampling_strategy="sequential")
        made = DPOTrainer(**given, ref_model=opened(), args=config)
        found = [
            [row["prompt_ids"] + row[side] for side in ("chosen_ids", "rejected_ids")] for row in made.train_dataset
        ]
    if found != expected:
        sys.exit("TRL's tokens are others than ours")
    return made, sum(len(each) for one in found for each in one)


def run(method: str, folder: Path, settings: Settings, steps: int, logged: bool, each: int) -> dict[str, Any]:
    """Train, and return what it took."""
    from transformers import TrainerCallback

    clock: dict[str, float] = {}

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            clock["began"] = time.process_time()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            clock["ended"] = time.process_time()

    with tempfile.TemporaryDirectory() as passing:
        made, seen = trainer(method, folder, settings, steps, passing, logged, each)
        made.add_callback(Clock())
        made.train()
    return {
        "cpu": clock["ended"] - clock["began"],
        "tokens": seen.tokens if isinstance(seen, Counted) else seen,
        "losses": [line["loss"] for line in made.state.log_history if "loss" in line],
        "rewards": seen.means if isinstance(seen, Counted) else [],
    }


def main(method: str, place: str, each: str = "0") -> None:
    """Run once for every line that comes in."""
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder, logged = Path(place), True
    settings = json.loads((folder / "settings.json").read_text())
    said, sys.stdout = sys.stdout, sys.stderr  # trainers print
    for line in sys.stdin:
        told = run(method, folder, settings, json.loads(line)["steps"], logged, int(each))
        print(json.dumps(told), file=said, flush=True)
        logged = False


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(*sys.argv[1:])
