"""What each model of the demo knows of held-out documents and tasks, and what it answers: evaluation/MODEL.json.

    python -m pipelines.full.measures --folder RUN

A model that was measured is not measured again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from millrace import storage
from pipelines.full.plan import MODELS

PROMPT = "Question: {}\nAnswer:"  # as demo.jinja writes it
ANSWER_TOKENS = 96  # of an example answer, ours: the longest sections take about as many
TASK_TOKENS = 24  # a right answer in the right form takes half


def measure(run: str, held: str) -> dict[str, Any]:
    """Return a model's measures, task by task, and its answers to the questions of held/questions.jsonl.

    Raises ModelFolderError, EvaluationError.
    """
    from serve import model
    from serve.evaluate.local.language import Language
    from serve.evaluate.tasks import make

    subject = Language.load(model.find(run))
    tasks: dict[str, tuple[str, dict[str, Any]]] = {
        "documents": ("perplexity", {"path": f"{held}/begins.jsonl"}),
        "choices": ("multiple_choice", {
            "path": f"{held}/choices.jsonl", "prompt": PROMPT.format("{question}"), "label": "answer"}),
        "pairs": ("multiple_choice", {
            "path": f"{held}/pairs.jsonl", "prompt": PROMPT.format("{prompt}"), "choices": ["chosen", "rejected"],
            "label": "chosen"}),
    }  # fmt: skip
    found = {}
    for name, (task, settings) in tasks.items():
        made = make(task, settings)
        result = made.run(subject, made.read())
        measures = {one: asdict(value) for one, value in result.measures.items()}
        found[name] = {"items": result.items, "measures": measures, "seconds": round(result.seconds, 2)}
    found["tasks"] = _tasks(subject, lines(f"{held}/tasks.jsonl"))
    asked = [one["question"] for one in lines(f"{held}/questions.jsonl")]
    answers = subject.complete([PROMPT.format(one) for one in asked], ANSWER_TOKENS, ())
    return {"tasks": found, "answers": dict(zip(asked, answers))}


def _tasks(subject: Any, asked: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Complete tasks greedily, and judge them as their rewards do."""
    from align.rewards.format import Format
    from align.rewards.math import Math
    from align.rewards.reward import Completion
    from serve.evaluate.mean import mean

    began, none = time.perf_counter(), np.zeros(0, np.int64)
    answers = subject.complete([PROMPT.format(one["prompt"]) for one in asked], TASK_TOKENS, ())
    done = [Completion(one["prompt"], said, none, none, finished=True, task=one) for one, said in zip(asked, answers)]
    right, form = np.array(Math()(done)), np.array(Format(tags=("answer",))(done))
    values = {"exact_match": right * form, "right": right, "form": form}
    measures = {name: asdict(mean(of)) for name, of in values.items()}
    for kind in dict.fromkeys(one["kind"] for one in asked):
        chosen = np.array([one["kind"] == kind for one in asked])
        measures[f"exact_match/{kind}"] = asdict(mean((right * form)[chosen]))
    return {"items": len(asked), "measures": measures, "seconds": round(time.perf_counter() - began, 2)}


def lines(url: str) -> list[dict[str, Any]]:
    """Return the records of a JSON Lines file."""
    return [json.loads(line) for line in storage.read_bytes(url).decode().split("\n") if line]


def main() -> int:
    """Measure the models that were not."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", required=True, metavar="RUN", help="of the demo")
    folder = storage.absolute(parser.parse_args().folder)
    for name in MODELS:
        place = storage.join(folder, "evaluation", f"{name}.json")
        if not storage.exists(place):
            made = measure(storage.join(folder, name), storage.join(folder, "data", "held"))
            storage.write_json(place, made)
            print(name, json.dumps({task: of["measures"] for task, of in made["tasks"].items()}), flush=True)
    storage.write_json(storage.join(folder, "evaluation", "done.json"), list(MODELS))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
