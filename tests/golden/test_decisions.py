"""Decisions frozen: if this fails and the change is meant, raise the stage's `version` and write the file anew:

python -m tests.golden.test_decisions
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import curator
from curator import Pipeline
from tests.corpus import documents, write_parts

GOLDEN = Path(__file__).with_name("decisions.jsonl")


def decisions(folder: Path) -> list[dict[str, Any]]:
    """Run every deciding stage and return the ledger, values to 12 digits."""
    glob = write_parts(folder / "in", documents(120, seed=23), 3)
    stages = [
        curator.ReadJsonl(glob),
        curator.FixUnicode(),
        curator.GopherQuality(min_stop_words=1),
        curator.GopherRepetition(),
        curator.ExactDedup(),
        curator.FuzzyDedup(),
    ]
    Pipeline(stages).run(str(folder / "run"), workers=0)
    ledger = pa.concat_tables([pq.read_table(path) for path in sorted((folder / "run/ledger").iterdir())])
    rows = ledger.drop_columns(["url", "witness_run", "value_text"]).to_pylist()
    return [{k: float(f"{v:.12g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def test_decisions_are_those_of_the_golden_file(tmp_path):
    assert decisions(tmp_path) == [json.loads(line) for line in GOLDEN.read_text().splitlines()]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        lines = [json.dumps(row) for row in decisions(Path(place))]
    GOLDEN.write_text("\n".join(lines) + "\n")
    sys.stdout.write(f"{len(lines)} decisions\n")
