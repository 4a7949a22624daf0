"""Evaluation by millrace beside lm-evaluation-harness 0.4.13, on the same model and files."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import evaluate_inputs
from benchmarks.measure import Cost, run
from benchmarks.report import Setting, ratio, setting, spread, table, write_result

BATCHES = (1, 8, 32)  # of the harness; the fastest is taken
MEASURES = {"perplexity": ("bits_per_byte", "bits_per_byte,none"), "gsm8k": ("exact_match", "exact_match,strict-match")}


def main() -> None:
    """Measure both and write the result."""
    with setting(__doc__ or "") as given:
        scale, corpus = 0.3 if given.quick else 1.0, given.input("corpus.parquet")
        folder = given.made(f"evaluate-{scale}", lambda made: evaluate_inputs.make(made, corpus, scale))
        tasks = list(evaluate_inputs.tasks(folder))
        batch = fastest(given, folder, tasks)
        rounds = [(ours(given, folder, tasks), theirs(given, folder, tasks, batch)) for _ in range(given.rounds)]
        write_result(
            "evaluate_speed", "Evaluation", given, ["torch", "transformers"], told(rounds, batch, tasks)
        )  # fmt: skip


def fastest(given: Setting, folder: Path, tasks: list[dict[str, Any]]) -> int:
    """Return the harness' batch size that costs the fewest CPU seconds."""
    tried = {batch: sum(scoring(theirs(given, folder, tasks, batch)).values()) for batch in BATCHES}
    return min(tried, key=tried.__getitem__)


def ours(given: Setting, folder: Path, tasks: list[dict[str, Any]]) -> Cost:
    """Run our side."""
    return _run([sys.executable, "-W", "ignore", "-m", "benchmarks.ours_evaluate"], given, folder, {"tasks": tasks})


def theirs(given: Setting, folder: Path, tasks: list[dict[str, Any]], batch: int) -> Cost:
    """Run the harness."""
    script = Path(__file__).parent / "peer_evaluate.py"
    return _run([given.peers, "-W", "ignore", script], given, folder, {"tasks": tasks, "batch": batch})


def _run(command: list[Any], given: Setting, folder: Path, asked: dict[str, Any]) -> Cost:
    question, answer = folder / "asked.json", folder / "answer.json"
    question.write_text(json.dumps({"model": str(folder / "model"), **asked}))
    return run([*command, question, answer], given.log("evaluate"), answer, OMP_NUM_THREADS="1")


def scoring(cost: Cost) -> dict[str, float]:
    """Return the CPU seconds of each task's scoring."""
    return {name: one["seconds"] for name, one in cost.answer["tasks"].items()}


def told(rounds: list[tuple[Cost, Cost]], batch: int, tasks: list[dict[str, Any]]) -> str:
    """Return the result's text."""
    lines = []
    for name in (one["name"] for one in tasks):
        mine, other = ([scoring(pair[side])[name] for pair in rounds] for side in (0, 1))
        first, second = (pair.answer["tasks"][name] for pair in rounds[0])
        ours_, theirs_ = MEASURES.get(name, ("acc", "acc,none"))
        scores = f"{first['measures'][ours_]:.6f}", f"{float(second['measures'][theirs_]):.6f}"
        lines.append([name, first["items"], spread(mine), spread(other), ratio(other, mine), ours_, *scores])
    whole = []
    ways = {"scoring, all tasks": lambda cost: sum(scoring(cost).values()), "whole process": lambda cost: cost.cpu}
    for title, of in ways.items():
        mine, other = ([of(pair[side]) for pair in rounds] for side in (0, 1))
        whole.append([title, spread(mine), spread(other), ratio(other, mine)])
    memory = [max(pair[side].tree_mb for pair in rounds) for side in (0, 1)]
    return "\n".join([
        f"One thread each, interleaved, {len(rounds)} rounds; a Llama of width {evaluate_inputs.HIDDEN}, "
        f"{evaluate_inputs.LAYERS} layers, {evaluate_inputs.VOCABULARY} tokens of vocabulary and random weights, "
        "float32; files in the benchmarks' schemas, cut from the corpus. mmlu and gsm8k after 5 examples. The harness "
        f"with batch {batch}, the fastest of {', '.join(map(str, BATCHES))}. Scoring is tokenizing, forward passes and "
        "generation; the harness' reading of files, prompts and measures are not in its seconds, our measures are in "
        "ours.\n",
        table(["task", "items", "ours, CPU s", "lm_eval", "ratio", "measure", "ours", "lm_eval"], lines), "",
        table(["", "ours, CPU s", "lm_eval", "ratio"], whole), "",
        f"Peak memory: ours {memory[0]:.0f} MB, lm_eval {memory[1]:.0f} MB.\n\nTarget: a ratio of at least 1.0.",
    ])  # fmt: skip


if __name__ == "__main__":
    main()
