"""Completions by TransformersGenerator beside transformers' generate, on the same model and prompts."""

from __future__ import annotations

import sys

from benchmarks import ours_generate
from benchmarks.measure import run
from benchmarks.report import ratio, setting, spread, table, write_result

TOKENS = 64  # of a completion


def main() -> None:
    """Measure all and write the result."""
    with setting(__doc__ or "", with_peers=False) as given:
        answer = given.work / "answer.json"
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.ours_generate", str(given.rounds)]
        command += [str(TOKENS // (4 if given.quick else 1)), answer]
        told = run(command, given.log("generate"), answer, OMP_NUM_THREADS="1").answer
        body = [
            f"One process, one thread, sides in turn; Llamas of width 256 and 4 layers with random weights, float32. "
            f"{ours_generate.ROWS} completions of at most {TOKENS} tokens at temperature 1, counted up to their end. "
            "Ours also returns each token's log-probability; generate returns tokens alone. The ratio is generate's "
            "CPU seconds a token by ours, of the medians, with the range round by round.\n"
        ]
        lines = []
        for model in ours_generate.MODELS:
            for case in ours_generate.CASES:
                mine = [one for one in told if (one["model"], one["case"]) == (model, case)]  # type: ignore[index]
                cost = {
                    side: [one["cpu"] / one["tokens"] for one in mine if one["side"] == side]
                    for side in ("ours", "generate")
                }
                speeds = [spread([1 / one for one in cost[side]], 0) for side in cost]
                lines.append([model, case, *speeds, ratio(cost["generate"], cost["ours"])])
        head = ["model", "prompts", "ours, tokens a CPU s", "generate", "ratio"]
        body += [table(head, lines), "\nTarget: a ratio of at least 1.0."]
        write_result("rollout_speed", "Completions", given, ["torch", "transformers"], "\n".join(body))


if __name__ == "__main__":
    main()
