"""Run lm-evaluation-harness' own task definitions on local files: `python peer_evaluate.py ASKED.json ANSWER.json`.

Runs in the interpreter that has lm_eval, so it imports nothing of ours. asked: model, batch, and of each task name,
of (the harness' file, below its folder of tasks), path, shots, examples, more (lines of its definition). answer: of
each task its measures, the CPU seconds the model's methods took, and item by item what the model said.
"""

import functools
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
SPENT = [0.0]


def definition(task, folder):
    """Write a task of our files with the harness' own prompts and measures."""
    import lm_eval

    own = Path(lm_eval.__file__).parent / "tasks" / task["of"]
    files = {"test": task["path"]}
    lines = [f"include: {own}", f"task: ours_{task['name']}", "dataset_path: json", "dataset_name: null",
             "training_split: null", "validation_split: null", "test_split: test", "tag: null"]  # fmt: skip
    if task.get("examples"):
        files["dev"] = task["examples"]
        lines.append("fewshot_split: dev")
    else:
        lines.append("fewshot_split: test")
    lines += ["dataset_kwargs:", "  data_files:", *(f"    {name}: {path}" for name, path in files.items())]
    lines += task.get("more", [])
    (folder / f"{task['name']}.yaml").write_text("\n".join(lines) + "\n")


def timed(method):
    """Add a method's CPU seconds to SPENT."""

    @functools.wraps(method)
    def run(*given, **more):
        began = time.process_time()
        try:
            return method(*given, **more)
        finally:
            SPENT[0] += time.process_time() - began

    return run


def main(asked, answer):
    import datasets
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    datasets.disable_progress_bars()
    model = HFLM(pretrained=asked["model"], dtype="float32", device="cpu", batch_size=asked.get("batch", 8))
    for name in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
        setattr(model, name, timed(getattr(model, name)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        datasets.config.HF_DATASETS_CACHE = folder / "cache"
        for task in asked["tasks"]:
            definition(task, folder)
        manager = TaskManager(include_path=name, include_defaults=False)
        found = {}
        for task in asked["tasks"]:
            SPENT[0] = 0.0
            label = f"ours_{task['name']}"
            result = lm_eval.simple_evaluate(
                model=model, tasks=[label], num_fewshot=task.get("shots", 0), task_manager=manager
            )
            by_item = {one["doc_id"]: one for one in result["samples"][label]}  # one a filter
            found[task["name"]] = {
                "measures": {k: v for k, v in result["results"][label].items() if "," in k},
                "seconds": SPENT[0],
                "items": [by_item[n]["resps"] for n in sorted(by_item)],
            }
    Path(answer).write_text(json.dumps({"lm_eval": lm_eval.__version__, "tasks": found}, default=str))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), sys.argv[2])
