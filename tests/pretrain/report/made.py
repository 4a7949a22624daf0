"""A made-up training run with everything that can happen in one."""

from __future__ import annotations

import json
import math
from pathlib import Path

from pretrain.config import Config, Model, Training
from pretrain.run.log import Event, LogFiles
from tests.pretrain.run.lines import step_line, validation_line

HOSTILE = "<script>alert('x')</script>"


def made_run(folder: Path, steps: int, **run_json: object) -> Path:
    """Write a run of `steps` steps that skipped step 7, and was restored to step 10."""
    folder.mkdir(exist_ok=True)
    config = Config(model=Model(2, 64, 4, 128, vocab_size=512), training=Training(steps=max(steps, 1)))
    run = {
        "kind": "pretrain", "millrace": "0.1", "config": config.as_dict(), "environment": {"host": HOSTILE},
        "peak": {"source": "measured matrix peak of a test"},
        "baselines": {"unigram_entropy": 6.125, "bigram_cross_entropy": 4.375},
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(run | run_json))
    log = LogFiles(str(folder))
    for step in range(1, steps + 1):
        bad = step == 7
        log.step(step_line(step, loss=math.nan if bad else 3 + 6 / step, skipped=bad, save_seconds=0.005))
        if bad:
            log.event(Event("bad_batch", 7, {"loss": math.nan, "documents": [4294967301, HOSTILE]}, 1.7e9))
        if step % 10 == 0:
            log.validation(validation_line(step, validation_loss=3.5 + 6 / step))
            log.event(Event("save", step, {"path": f"step-{step:08}", "seconds_blocked": 0.005}, 1.7e9 + step))
        if step == 10:
            log.event(Event("restore", step, {}, 1.7e9 + step))
    log.close()
    return folder
