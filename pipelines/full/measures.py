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
from pipelines.full.tasks import FORM, WEIGHT

PROMPT = "Question: {}\nAnswer:"  # as demo.jinja writes it
ANSWER_TOKENS = 64  # of an example answer, ours: the longest sections take about as many
TASK_TOKENS = 8  # as demo-grpo draws; a right answer in the right form takes five
DRAWS = 8  # samples of each task, at temperature 1


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
    """Complete tasks greedily and by sampling, and judge them as their rewards do; every model draws by the same seeds.

    Standard errors are over what is asked, of which 3 + 4 and 4 + 3 in two wordings are one.
    """
    from serve.evaluate.mean import ratio

    began = time.perf_counter()
    values: dict[str, np.ndarray] = {}
    for how, draws, temperature in (("greedy", 1, 0.0), ("sampled", DRAWS, 1.0)):
        many = [one for one in asked for _ in range(draws)]
        said = subject.complete([PROMPT.format(one["prompt"]) for one in many], TASK_TOKENS, (), temperature)
        right, form = _judged(many, said)
        of = {"solved": right * form, "right": right, "form": form, "reward": right + WEIGHT * form}
        values |= {f"{how}/{name}": one.reshape(len(asked), draws).mean(axis=1) for name, one in of.items()}
    kinds = {kind: np.array([one["kind"] == kind for one in asked]) for kind in dict.fromkeys(o["kind"] for o in asked)}
    values |= {f"sampled/right/{kind}": values["sampled/right"][chosen] for kind, chosen in kinds.items()}
    measures, items = {}, {}
    for name, found in values.items():
        keys = [one["key"] for one in asked if one["kind"] == name.rpartition("/")[2]] or [one["key"] for one in asked]
        _, place = np.unique(keys, return_inverse=True)
        measures[name] = asdict(ratio(np.bincount(place, found), np.bincount(place), higher_is_better=True))
        items[name] = len(found)
    return {"items": items, "measures": measures, "seconds": round(time.perf_counter() - began, 2)}


def _judged(asked: Sequence[Mapping[str, Any]], said: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return (right, in the form) of completions, each 0 or 1."""
    from align.rewards.format import Format
    from align.rewards.math import Math
    from align.rewards.reward import Completion

    none = np.zeros(0, np.int64)
    done = [Completion(one["prompt"], text, none, none, finished=True, task=one) for one, text in zip(asked, said)]
    return np.array(Math()(done)), np.array(Format(pattern=FORM)(done))


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
