"""text-dedup's MinHash command on one Parquet file; runs in its interpreter and imports nothing of ours.

INPUT ANSWER: a file of (id, text), and where the removed rows are written.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
from datasets import load_from_disk

SETTINGS = {"ngram": 5, "min_length": 1, "num_perm": 112, "b": 14, "r": 8}  # else its defaults; 1: nothing too short


def main(source: str, answer: str) -> None:
    """Run the command once and write which rows it removed."""
    with tempfile.TemporaryDirectory() as folder:
        options = {
            "path": "parquet", "data_files": source, "split": "train", "cache_dir": f"{folder}/cache",
            "output": f"{folder}/out", "column": "text", "num_proc": 2, **SETTINGS,
        }  # fmt: skip
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        subprocess.run([sys.executable, "-m", "text_dedup.minhash", *words], check=True, cwd=folder)
        kept = set(load_from_disk(f"{folder}/out")["id"])
    ids = pq.read_table(source, columns=["id"])["id"].to_pylist()
    Path(answer).write_text(json.dumps({"removed": [row for row, name in enumerate(ids) if name not in kept]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
