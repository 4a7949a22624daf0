"""The engine of `millrace serve` beside transformers' generate in batch and its continuous batching, on a CPU."""

from __future__ import annotations

import sys

from benchmarks import ours_engine
from benchmarks.measure import run
from benchmarks.report import ratio, setting, spread, table, write_result

TOKENS = 24  # of a completion
SIDES = ("ours, 16 in flight", "ours, 1 in flight", "generate, batch of 16", "generate_batch")


def main() -> None:
    """Measure all and write the result."""
    with setting(__doc__ or "", with_peers=False) as given:
        answer = given.work / "answer.json"
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.ours_engine", str(given.rounds)]
        tokens = TOKENS // (2 if given.quick else 1)
        command += [str(tokens), answer]
        told = run(command, given.log("engine"), answer, OMP_NUM_THREADS="1").answer
        body = [
            f"One process, one thread of torch, sides in turn and the other way round every second time; Llamas with "
            f"random weights, float32, vocabulary {ours_engine.VOCABULARY}. {ours_engine.CLIENTS} prompts of 32 to 92 "
            f"tokens, {tokens} greedy tokens each; one in flight: the first {ours_engine.ALONE} of them, one after "
            "another. Reading the prompts is included. Ours also tells each token's log-probability. generate_batch is "
            "transformers' continuous batching (num_blocks=128, max_batch_tokens=256, warmup=False). Same: completions "
            "whose tokens are all those of generate in the same round. The ratio is the side's CPU seconds a token by "
            "those of ours with 16 in flight.\n"
        ]
        lines = []
        for model in ours_engine.MODELS:
            mine = {side: [one for one in told if (one["model"], one["side"]) == (model, side)] for side in SIDES}  # type: ignore[index]
            cost = {side: [one["cpu"] / one["tokens"] for one in all_] for side, all_ in mine.items()}
            for side in SIDES:
                same = f"{sum(one['same'] for one in mine[side])} of {sum(one['rows'] for one in mine[side])}"
                ours = cost[SIDES[0]]
                lines.append([model, side, spread([1 / one for one in cost[side]], 0), ratio(cost[side], ours), same])
        head = ["model", "side", "tokens a CPU s", "ratio", "same"]
        body += [table(head, lines), "\nTargets: at least 3 of one in flight, at least 1 of generate in batch."]
        write_result("serve_engine", "The serving engine", given, ["torch", "transformers", "numba"], "\n".join(body))


if __name__ == "__main__":
    main()
