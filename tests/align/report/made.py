"""A made-up alignment run with everything that can happen in one."""

from __future__ import annotations

import json
import math
from pathlib import Path

from align.config import Config, Training
from align.run.log import AlignLine, AlignValidation
from align.run.samples import Sample, SampleTable
from pretrain.run.log import Event, LogFiles

HOSTILE = "<script>alert('x')</script>"
PROMPTS = ("What is 2 + 2?", HOSTILE)


def line(step: int, **metrics: float) -> AlignLine:
    """Return the line of a GRPO step."""
    told = {"loss": 0.5 / step, "grad_norm": 1.0, "lr": 1e-6, "reward": 1 - 1 / step, "kl": 0.01 * step, "length": 30.0,
            "ratio_error": 1.001, "reward/math": 1 - 1 / step, "reward/length": -0.5, "odd_metric": 3.0}  # fmt: skip
    return AlignLine(step, 500 * step, told | metrics, 2.0, 250.0, 10**9, not math.isfinite(metrics.get("loss", 0.0)))


def sample(prompt: int, text: str, reward: float, step: int) -> Sample:
    """Return a completion of one of PROMPTS."""
    parts = {"math": reward + 0.5, "length": -0.5}
    return Sample(f"p-{prompt}", PROMPTS[prompt], text, 12, reward, parts, finished=prompt == 0, version=step)


def made_run(folder: Path, steps: int, sampled: int = 10) -> Path:
    """Write a run of `steps` steps that skipped step 7, and has samples before training and every `sampled` steps."""
    folder.mkdir(exist_ok=True)
    config = Config("grpo", training=Training(steps=max(steps, 1)), rewards=({"math": {}}, {"length": {"target": 30}}))
    run = {"kind": "align", "millrace": "0.1", "config": config.as_dict(), "environment": {"host": HOSTILE}}
    (folder / "run.json").write_text(json.dumps(run))
    log, table = LogFiles(str(folder)), SampleTable(str(folder))
    log.validation(AlignValidation(0, {"reward": 0.25}, 1.0))
    table.add(0, [sample(0, "five, I think", -0.5, 0), sample(1, HOSTILE, -0.5, 0)])
    for step in range(1, steps + 1):
        log.step(line(step, loss=math.nan if step == 7 else 0.5 / step))
        if step % sampled == 0:
            log.validation(AlignValidation(step, {"reward": 1 - 0.75 / step, "length": 30.0}, 1.0))
            table.add(step, [sample(1, f"{HOSTILE} at {step}", 0.5, step), sample(0, f"4 at {step}", 1.0, step)])
            log.event(Event("save", step, {"path": f"step-{step:08}"}, 1.7e9 + step))
        if step == 10:
            log.event(Event("restore", step, {"message": "goes on"}, 1.7e9 + step))
    log.close()
    return folder
