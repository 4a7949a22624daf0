"""The report's explorer and `retune` on a million documents that do not exist: seconds, memory, bytes of the page."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import curator
from benchmarks.measure import run
from benchmarks.report import setting, table, write_result
from curator import frames, ledger, spec
from curator.pipeline import Pipeline
from curator.retune.filters import Filters, of_run
from curator.run.folder import WORK_OF_LAST, RunFolder, part_name
from curator.schema import arrow_schema
from curator.stage import CHARACTERS
from millrace import storage, tables

PARTS = 40
SOURCES = ("crawl", "books", "news", "forum", "encyclopedia", "code", "law", "papers", "talks", "recipes")
LANGUAGES = ("en", "de", "fr", "es", "ru", "zh", "ja", "it", "pt", "pl", "nl", "und")
EXCERPT = "A document that does not exist, of which nothing is known but its numbers. "
STAGES = [
    curator.ReadJsonl("x.jsonl"), curator.FixUnicode(), curator.IdentifyLanguage(keep=("en", "de", "fr")),
    curator.GopherQuality(), curator.GopherRepetition(), curator.FineWebQuality(), curator.NemoEnglish(),
    curator.ExactDedup(), curator.Tokenize(), curator.Pack(),
]  # fmt: skip


def signals(rng: np.random.Generator, rows: int, filters: Filters) -> dict[str, Any]:
    """Return measurements of documents: lengths as of a web crawl, others such that a limit cuts about 1 % off."""
    words = rng.lognormal(5.6, 1.3, rows).astype(np.int64)
    shares = np.array([0.4, *[0.6 / (len(LANGUAGES) - 1)] * (len(LANGUAGES) - 1)])
    made: dict[str, Any] = {
        CHARACTERS: (words * rng.normal(6, 0.5, rows).clip(3, 12)).astype(np.int64),
        "lang": pa.array(rng.choice(LANGUAGES, rows, p=shares / shares.sum())).cast(pa.large_string()),
        "lang_score": rng.beta(8, 1, rows).astype(np.float32),
        "nonsymbol_words": words,
        "words": words,
    }
    for decider in filters.deciders:
        for rule in decider.stage.rules:
            if rule.signal not in made:
                limit = getattr(decider.stage, rule.limit)
                values = limit * np.exp(rng.normal(1.0 if rule.below else -1.0, 0.43, rows))
                whole = decider.stage.stored()[rule.signal] == "int64"
                made[rule.signal] = np.rint(values).astype(np.int64) if whole else values
    return made


def write_part(folder: RunFolder, filters: Filters, number: int, rows: int) -> int:
    """Write signals, ledger and documents of one part, as the filters decide; return how many are kept."""
    rng = np.random.default_rng(number)
    ids = (np.uint64(number) << np.uint64(32)) + np.arange(rows, dtype=np.uint64)
    types = {CHARACTERS: "int64"} | {n: k for d in filters.deciders for n, k in d.stage.stored().items()}
    whole = pa.table({"doc_id": ids, **signals(rng, rows, filters)}).select(["doc_id", *types])
    whole = whole.cast(arrow_schema({"doc_id": "uint64", **types}))
    fell, reasons = np.full(rows, -1), np.full(rows, "", object)
    for decider in filters.deciders:
        masks = decider.stage.reject(frames.from_arrow(whole.select(list(decider.stage.stored()))))
        for reason, mask in masks.items():
            new = frames.to_numpy(mask.fillna(False)).astype(bool) & (fell < 0)
            fell[new], reasons[new] = decider.index, reason
    copy = (fell < 0) & (rng.random(rows) < 0.1)
    fell[copy], reasons[copy] = filters.corpus[0], "exact_duplicate"
    name = part_name(number) + ".parquet"
    gone = fell >= 0
    said = {"stage_index": pa.array(fell[gone]), "reason": pa.array(reasons[gone].tolist(), pa.large_string())}
    said |= {"stage": pa.array([filters.names[i] for i in fell[gone]], pa.large_string())}
    tables.write_table(folder.path("signals", name), whole)
    named = pa.table({"doc_id": ids, "id": [f"doc-{i}" for i in ids], "url": [""] * rows})
    tables.write_table(folder.path("ledger", name), ledger.rows(named.filter(pa.array(gone)), said))
    kept = named.filter(pa.array(~gone))
    kept = kept.append_column("text", pa.array([EXCERPT * 3] * len(kept)))
    tokens = (whole[CHARACTERS].to_numpy()[~gone] / 4.4).astype(np.int64)
    kept = kept.append_column("n_tokens", pa.array(tokens))
    kinds = {"doc_id": "uint64", "id": "string", "url": "string", "text": "string", "n_tokens": "int64"}
    tables.write_table(folder.path("documents", name), kept.cast(arrow_schema(kinds)))
    storage.write_json(folder.path(WORK_OF_LAST, "done", part_name(number) + ".json"), {"stages": [], "examples": []})
    return len(kept)


def make(place: Path, documents: int) -> None:
    """Write a run folder of so many documents, as if the text recipe had run."""
    folder = RunFolder(str(place))
    content: dict[str, Any] = {"pipeline": spec.to_spec(Pipeline(STAGES))}
    filters = of_run(content)
    parts = [
        {"part": n, "url": f"{n}.jsonl", "source": SOURCES[n % len(SOURCES)], "bytes": 1, "split": None}
        for n in range(PARTS)
    ]
    storage.write_json(folder.inputs, {"run_uid": "made", "parts": parts})
    kept = sum(write_part(folder, filters, number, documents // PARTS) for number in range(PARTS))
    manifest = {"documents": kept, "tokens": 1, "rows": 1, "fill": 1.0, "vocab_size": 1, "seq_length": 1, "dtype": "u",
                "documents_cut": 0, "shards": [], "format": "megatron"}  # fmt: skip
    storage.write_json(folder.path("tokens", "manifest.json"), manifest)
    storage.write_json(folder.summary, content | {
        "millrace": "0", "run_uid": "made", "versions": {}, "device": "cpu", "workers": 1, "limit": None, "seconds": 0,
        "segments": [WORK_OF_LAST], "inputs": {"files": PARTS, "parts": PARTS, "bytes": PARTS}, "read": documents,
        "documents": kept, "stages": [], "skipped": {}, "quarantined": [], "kernel_fallback_bytes": 0,
        "tokens": manifest,
    })  # fmt: skip


def main() -> None:
    """Measure and write the result."""
    with setting(__doc__ or "", with_peers=False, documents={"type": int, "default": 1_000_000}) as given:
        began = time.perf_counter()
        place = given.made(f"explorer-{given.given.documents}", lambda at: make(at, given.given.documents))
        print(f"made in {time.perf_counter() - began:.0f} s")
        rows = []
        settings = ["--set", "GopherQuality.min_words=80", "--set", "GopherQuality.max_hash_ratio=0.05"]
        for name, command in (
            ("report.html, all of it", ["report", place]),
            ("retune, two limits", ["retune", place, *settings]),
        ):
            cost = run([sys.executable, "-m", "pipelines.cli", *command], given.log(command[0]))
            rows.append([name, f"{cost.cpu:.1f}", f"{cost.wall:.1f}", f"{cost.tree_mb:.0f}"])
        page = (place / "report.html").stat().st_size
        said = [table(["command", "CPU seconds", "seconds", "MB at most"], rows), f"Page: {page / 1e6:.2f} MB."]
        write_result("explorer_scale", __doc__ or "", given, ("pyarrow", "pandas", "numpy"), "\n\n".join(said))


if __name__ == "__main__":
    main()
