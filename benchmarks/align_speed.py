"""Alignment on the CPU: our methods beside TRL's trainers and plain loops, in tokens a CPU second."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import align_inputs, ours_align
from benchmarks.align_inputs import METHODS, Size
from benchmarks.measure import ROOT
from benchmarks.report import Setting, setting, spread, table, write_result

Answers = dict[str, list[dict[str, Any]]]  # side -> what it said, round by round; the first is untimed
OFFLINE = ("sft", "dpo")
NEAR = 1e-3  # losses of the same step on two sides

ABOUT = """
A Llama of {millions:.1f} M parameters (hidden {hidden}, {layers} layers, vocabulary {vocabulary}), fp32, one thread a
side. Each side is a process of its own, told in turn to run a round: a whole training of {steps} steps (GRPO and PPO:
{online}) from the same weights, on the same examples in the same order; CPU seconds are those of the training, without
imports, loading and tokenising. A first, longer round is not timed: its losses are compared. Ours is the method of
`align.methods` itself over a job of one rank, with micro-batches, packing and metrics as they come; the reference pass
of DPO is counted. TRL: float32, activations kept, no padding to multiples, fused AdamW, no logging; a step's batch in
one pass, and, where lengths differ, also one example a pass. Plain loop: batches padded on the right without a mask,
torch and transformers alone. AdamW with the same settings and clipping at 1 everywhere.

*Equal lengths*: all sequences of a step are equally long, so that packing gains nothing and what is left is what each
side costs beside the model.

Tokens are those of the examples, without padding (SFT; DPO: both sides once), or those generated (GRPO, PPO).
"""


def main() -> None:
    """Measure all methods and write the result."""
    methods = {"nargs": "*", "default": list(METHODS), "choices": METHODS, "help": "only these"}
    with setting(__doc__ or "", methods=methods) as given:
        size = replace(Size(), first_steps=4, online_steps=1) if given.quick else Size()
        rows, notes = [], []
        for even, methods in ((False, given.given.methods), (True, [m for m in given.given.methods if m in OFFLINE])):
            folder, size = given.work / f"align{even:d}", replace(size, even=even)
            align_inputs.make(folder, size)
            for method in methods:
                ours_align.write_order(method, folder, size)
                name = f"{method.upper()}, equal lengths" if even else method.upper()
                answers = measure(given, method, folder, size)
                rows += speeds(name, answers)
                notes.append(quality(method, name, answers))
                if not even and method in OFFLINE:
                    notes.append(f"{name}: {padding(method, folder):.0%} of the cells of padded batches are padding.")
                print(*rows[-len(answers) :], notes[-1], sep="\n", file=sys.stderr)
        head = ["method", "side", "tokens a CPU second", "CPU s a round", "CPU s by ours'"]
        body = ABOUT.format(
            millions=parameters(folder / "model") / 1e6, hidden=size.hidden, layers=size.layers,
            vocabulary=align_inputs.VOCABULARY, steps=size.steps, online=size.online_steps,
        )  # fmt: skip
        body += "\n" + table(head, rows) + "\n\nWanted: TRL / ours at least 1; plain loop / ours at least 0.9.\n\n"
        write_result("align_speed", "Alignment beside TRL and plain loops", given,
                     ["torch", "transformers", "numpy"], body + "\n\n".join(notes))  # fmt: skip


def measure(given: Setting, method: str, folder: Path, size: Size) -> Answers:
    """Run the sides in turn, and return what each said."""
    ours, plain = ([sys.executable, "-m", f"benchmarks.{name}_align"] for name in ("ours", "plain"))
    commands = {"ours": ours, "TRL": [str(given.peers), "benchmarks/peer_trl.py"], "plain loop": plain}
    arguments = {name: [*command, method, str(folder)] for name, command in commands.items()}
    if method in OFFLINE and not size.even:
        arguments["TRL, one a pass"] = [*arguments["TRL"], "1"]
    if method == "ppo":
        del arguments["TRL"]  # it has none any more
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(side(command, given.log(f"{method}-{size.even:d}-{number}")))
            for number, (name, command) in enumerate(arguments.items())
        }
        rounds = 1 if given.quick else given.rounds
        answers: Answers = {name: [] for name in sides}
        for steps in (size.first(method), *[size.rounds(method)] * rounds):
            for name, ask in sides.items():
                answers[name].append(ask(steps))
    return answers


@contextmanager
def side(command: list[str], log: Path) -> Iterator[Callable[[int], dict[str, Any]]]:
    """Start a side; what is yielded runs a round of so many steps on it and returns what it says."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with log.open("w") as errors, subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
    ) as process:  # fmt: skip
        told, heard = process.stdin, process.stdout
        assert told is not None
        assert heard is not None

        def ask(steps: int) -> dict[str, Any]:
            told.write(json.dumps({"steps": steps}) + "\n")
            told.flush()
            line = heard.readline()
            return json.loads(line) if line else sys.exit(f"{' '.join(command)} ended:\n{log.read_text()[-2000:]}")

        yield ask
        told.close()


def speeds(name: str, answers: Answers) -> list[list[str]]:
    """Return a row a side: speed, seconds, and seconds a token by ours with the range round by round."""
    per_token = {side: [one["cpu"] / one["tokens"] for one in said[1:]] for side, said in answers.items()}
    return [
        [
            name, side, spread((1 / cost for cost in per_token[side]), 0),
            spread((one["cpu"] for one in said[1:]), 1),
            "" if side == "ours" else spread(a / b for a, b in zip(per_token[side], per_token["ours"], strict=True)),
        ]
        for side, said in answers.items()
    ]  # fmt: skip


def padding(method: str, folder: Path) -> float:
    """Return the share of padding where a step's sequences are one batch."""
    lengths = [
        [len(each["tokens"]) for one in batch for each in one["sequences"]]
        for batch in json.loads((folder / f"{method}.steps.json").read_text())
    ]
    return 1 - sum(map(sum, lengths)) / sum(max(batch) * len(batch) for batch in lengths)


def quality(method: str, name: str, answers: Answers) -> str:
    """Return what the first round learnt on each side; of SFT and DPO the losses must be the same."""
    first = {name: said[0] for name, said in answers.items()}
    steps = len(first["ours"]["losses"])
    if method in OFFLINE:
        apart = {
            name: max(abs(a - b) for a, b in zip(said["losses"], first["ours"]["losses"], strict=True))
            for name, said in first.items()
        }
        curves = "; ".join(
            f"{side} {said['losses'][0]:.5f} to {said['losses'][-1]:.5f}"
            + ("" if side == "ours" else f", at most {apart[side]:.1e} from ours at any step")
            for side, said in first.items()
        )
        if max(apart.values()) > NEAR:
            sys.exit(f"{name}: the sides do not learn the same: {curves}")
        exact = f" (log 2 is {math.log(2):.5f})" if method == "dpo" else ""
        return f"{name}: loss over {steps} steps{exact}: {curves}."
    if method == "grpo":
        rewards = "; ".join(
            f"{name} {said['rewards'][0]:.3f} to {sum(said['rewards'][-3:]) / 3:.3f}" for name, said in first.items()
        )
        return f"GRPO: mean reward of step 1, and of the last three of {steps} (each side draws for itself): {rewards}."
    parts = first["ours"]["phases"] | {"the rest": first["ours"]["cpu"] - sum(first["ours"]["phases"].values())}
    shares = ", ".join(f"{name} {seconds / first['ours']['cpu']:.0%}" for name, seconds in parts.items())
    rewards = "; ".join(f"{name} {said['rewards'][0]:.3f} to {said['rewards'][-1]:.3f}" for name, said in first.items())
    return (
        f"PPO: actor, critic, reference and reward model of this size each; no peer, as TRL has removed its own. Where "
        f"our CPU seconds go: {shares}. Mean reward over {steps} steps: {rewards}."
    )


def parameters(folder: Path) -> int:
    """Count a model's parameters."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as held:
        return sum(math.prod(held.get_slice(name).get_shape()) for name in held.keys())  # noqa: SIM118


if __name__ == "__main__":
    main()
