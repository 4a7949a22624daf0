"""datatrove's whole runs, from files to files; runs in the peers' interpreter and imports nothing of ours.

TASK and settings as JSON; TASK is dedup or web. The stages are those of datatrove's own examples
(minhash_deduplication.py, fineweb.py), with 2 workers.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter, LanguageFilter
from datatrove.pipeline.readers import JsonlReader, ParquetReader, WarcReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter, ParquetWriter
from datatrove.utils.lid import FT176LID

WORKERS = 2
BUCKETS = 14
EXTRACT = {  # the settings of Millrace's ExtractHtml; `no_fallback` is what trafilatura 2 calls `fast`
    "favour_precision": False,
    "deduplicate": False,
    "no_fallback": True,
    "include_tables": True,
    "timeout": 10.0,
}


class LocalModel(FT176LID):
    """datatrove's identifier with a model file that is already here; its own fetches one."""

    @property
    def model(self) -> Any:
        if self._model is None:
            from fasttext.FastText import _FastText

            self._model = _FastText(os.environ["LID_MODEL"])
        return self._model


def execute(name: str, out: Path, tasks: int, steps: list[Any]) -> None:
    """Run one executor to its end."""
    LocalPipelineExecutor(steps, tasks=tasks, workers=min(tasks, WORKERS), logging_dir=str(out / "logs" / name)).run()


def minhash(out: Path, tasks: int, read: Any, finish: list[Any]) -> None:
    """Run the four stages of MinHash deduplication: 14 buckets of 8 hashes on 5-grams."""
    config = MinhashConfig(n_grams=5, num_buckets=BUCKETS, hashes_per_bucket=8)
    signatures, buckets, remove = (str(out / name) for name in ("signatures", "buckets", "remove"))
    execute("signatures", out, tasks, [read(), MinhashDedupSignature(signatures, config=config)])
    execute("buckets", out, BUCKETS, [MinhashDedupBuckets(signatures, buckets, config=config)])
    execute("cluster", out, 1, [MinhashDedupCluster(buckets, remove, config=config)])
    execute("filter", out, tasks, [read(), MinhashDedupFilter(remove), *finish])


def dedup(given: dict[str, Any]) -> None:
    """Parquet in, deduplicated Parquet out."""
    out = Path(given["output"])

    def read() -> Any:
        return ParquetReader(given["input"], glob_pattern="*.parquet")

    minhash(out, given["files"], read, [ParquetWriter(str(out / "documents"))])


def web(given: dict[str, Any]) -> None:
    """WARC in, token files out; the language filter uses a local lid.176.ftz."""
    out, tasks = Path(given["output"]), given["files"]
    language = LanguageFilter(["en"])
    language.model = LocalModel(["en"])
    execute(
        "texts", out, tasks,
        [
            WarcReader(given["input"], glob_pattern="*.warc.gz"),
            Trafilatura(**(EXTRACT if given["engine"] == "ours" else {})),
            language,
            *([whitespace_words] if given["words"] == "whitespace" else []),
            GopherQualityFilter(),
            GopherRepetitionFilter(),
            JsonlWriter(str(out / "texts"), output_filename="${rank}.jsonl", compression=None),
        ],
    )  # fmt: skip

    def read() -> Any:
        return JsonlReader(str(out / "texts"), glob_pattern="*.jsonl", compression=None)

    tokenizer = DocumentTokenizer(
        str(out / "tokens"), tokenizer_name_or_path=given["tokenizer"], eos_token="<|endoftext|>", batch_size=1000,
        shuffle_documents=True, seed=0,
    )  # fmt: skip
    minhash(out, len(list((out / "texts").glob("*.jsonl"))), read, [tokenizer])


def whitespace_words(data: Any, rank: int, world_size: int) -> Any:
    """Let the Gopher filters of this worker count the words of str.split instead of spaCy's."""
    from datatrove.pipeline.filters import gopher_quality_filter, gopher_repetition_filter

    for module in (gopher_quality_filter, gopher_repetition_filter):
        module.split_into_words = lambda text, language: text.split()
    return data


if __name__ == "__main__":
    {"dedup": dedup, "web": web}[sys.argv[1]](json.loads(sys.argv[2]))
