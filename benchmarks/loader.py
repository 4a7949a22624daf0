"""The training loader beside Megatron's GPTDataset: tokens a CPU second, on the same shards."""

from __future__ import annotations

import sys
from typing import Any

from benchmarks import ours_loader
from benchmarks.measure import run
from benchmarks.report import Setting, ratio, setting, spread, table, write_result

STORED, VOCABULARY, TOKENS = 2048, 32_000, 10_000_000
LENGTHS = (2048, 512)
CELLS = 8_000_000  # of a timed pass
SLOW_CELLS = 400_000  # of sides that take microseconds a token
SLOW = ("GPTDataset, reset",)


def call(given: Setting, side: str, seq_length: int) -> dict[str, Any]:
    """Run one side once in a process of its own; return its answer."""
    shards = given.made("shards", lambda out: ours_loader.write_shards(out, TOKENS, STORED, VOCABULARY))
    cells = (SLOW_CELLS if side in SLOW else CELLS) // (8 if given.quick else 1)
    rows = cells // seq_length // ours_loader.MICRO_BATCH * ours_loader.MICRO_BATCH
    answer = given.work / "answer.json"
    command = [sys.executable, "-m", "benchmarks.ours_loader", side, str(seq_length), str(rows), shards, answer]
    return run(command, given.log("loader"), answer, OMP_NUM_THREADS="1").answer


def main() -> None:
    """Measure all sides in turn and write the result."""
    with setting(__doc__ or "", with_peers=False) as given:
        body = [
            "One process a pass, one thread, no read-ahead; micro-batches of "
            f"{ours_loader.MICRO_BATCH} rows from {TOKENS / 1e6:.0f} M tokens of log-normal documents (median 400 "
            f"tokens), packed to {STORED} by the curator. Opening and building indexes is off the clock. Ours: tokens, "
            "labels, weights, positions and bounds of documents as int64 arrays. GPTDataset: `__getitem__` and torch's "
            "`default_collate`; plain, it runs documents into each other. *reset* is what respects them: "
            "reset_position_ids, reset_attention_mask, eod_mask_loss, and the s x s mask that carries the bounds "
            f"(timed on {SLOW_CELLS / 1e6:.1f} M cells); *no mask* leaves the mask out, and with it the bounds in "
            "attention. *ours, gpt_dataset* is data.layout gpt_dataset: its samples, with exact bounds.\n"
        ]
        for seq_length in LENGTHS:
            answers: dict[str, list[dict[str, Any]]] = {side: [] for side in ours_loader.SIDES}
            for _ in range(given.rounds):
                for side, found in answers.items():
                    found.append(call(given, side, seq_length))
            costs = {side: [a["cpu"] / a["cells"] * 1e6 for a in found] for side, found in answers.items()}
            rows = [
                [side, spread([1 / cost for cost in costs[side]], 2), spread(costs[side], 4),
                 ratio(costs[side], costs["ours"])]
                for side in costs
            ]  # fmt: skip
            head = ["side", "M tokens a CPU s", "CPU s a M tokens", "ratio of CPU s to ours"]
            body += [f"\nRows of {seq_length} tokens:\n", table(head, rows)]
        body.append("\nTarget: 5 M tokens a CPU second at either length.")
        libraries = ["numpy", "numba", "torch", "megatron-core"]
        write_result("loader", "Training loader", given, libraries, "\n".join(body))


if __name__ == "__main__":
    main()
