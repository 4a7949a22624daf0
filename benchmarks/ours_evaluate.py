"""Our side of the evaluation benchmark: `python -m benchmarks.ours_evaluate ASKED.json ANSWER.json`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main(asked: dict[str, Any], answer: Path) -> None:
    """Measure the model by every task; weights are opened before each task's seconds begin."""
    from serve.evaluate.local.language import Language
    from serve.evaluate.tasks import make
    from serve.model import find

    subject = Language.load(find(asked["model"]))
    found = {}
    for one in asked["tasks"]:
        settings = {"path": one["path"], **{name: one[name] for name in ("shots", "examples") if name in one}}
        if one["name"] == "gsm8k":
            settings["max_tokens"] = 48
            subject.complete(["a"], 1, ())
        else:
            subject.scorer()
        task = make(one["name"], settings)
        read = task.read()
        began = time.process_time()
        result = task.run(subject, read)
        seconds = time.process_time() - began
        found[one["name"]] = {
            "measures": {name: measure.value for name, measure in result.measures.items()}, "seconds": seconds,
            "items": result.items,
        }  # fmt: skip
    answer.write_text(json.dumps({"tasks": found}))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
