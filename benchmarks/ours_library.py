"""Our side of the library benchmarks: decoded Arrow in, decisions out; only the call is timed.

Run as a program by the benchmarks: TASK INPUT ANSWER [SETTINGS]. TASK is dedup or filters; settings, as
JSON, are fields of FuzzyDedup, or the words that filters count.
"""

from __future__ import annotations

import functools
import itertools
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import inputs
from curator import frames
from curator.clean.c4_lines import C4Lines
from curator.dedup.fuzzy import FuzzyDedup
from curator.dedup.near.in_memory import Found
from curator.filter.c4 import C4Quality
from curator.filter.fineweb import FineWebQuality
from curator.filter.gopher import GopherQuality, GopherRepetition
from curator.run.batches import first_reasons
from curator.run.runner import BATCH_MB

WARM_UP = 50  # documents; what is compiled or loaded at first use is not timed, on either side


def batches(text: pa.LargeStringArray) -> Iterator[pa.LargeStringArray]:
    """Yield slices of about BATCH_MB, as the runner's readers do; at least one."""
    ends = np.cumsum(pc.binary_length(text).to_numpy(zero_copy_only=False))
    cuts = np.searchsorted(ends, np.arange(0, ends[-1] if len(ends) else 1, BATCH_MB * 1e6))
    for start, stop in itertools.pairwise([*cuts, len(text)]):
        yield text.slice(start, stop - start)


def deduplicate(text: pa.LargeStringArray, **settings: Any) -> Found:
    """Return what FuzzyDedup removes, with the witness of each."""
    return FuzzyDedup(**settings).find(text)


def filters(text: pa.LargeStringArray, words: str = "spaces") -> dict[str, Any]:
    """Return each text's first reason to go, "" where it stays, by GopherQuality, GopherRepetition, FineWebQuality
    and C4's two stages; C4's without the rule on sentences too; and the text that C4 leaves."""
    judges = (GopherQuality(words=words), GopherRepetition(words=words), FineWebQuality(words=words))
    names = tuple(dict.fromkeys(name for stage in judges for name in stage.signals))
    lines, whole, but_sentences = C4Lines(min_characters=0), C4Quality(), C4Quality(min_sentences=0)
    shared = judges[0].shared_pass
    found: list[list[np.ndarray]] = [[] for _ in (*judges, whole, but_sentences)]
    left = []
    for batch in batches(text):
        frame = frames.from_arrow(pa.table({"text": batch}))
        signals = shared.measure(frame["text"], names)
        edited = lines.measure(frame)
        left.append(frames.column_to_arrow(edited["text"]))
        of_lines = whole.measure(edited)
        judged = [(stage, signals[list(stage.signals)]) for stage in judges]
        for reasons, (stage, own) in zip(found, [*judged, (whole, of_lines), (but_sentences, of_lines)], strict=True):
            said = np.full(len(batch), "", dtype=object)
            for reason, mask in first_reasons(stage.reject(own)).items():
                said[mask.to_numpy(dtype=bool)] = reason
            reasons.append(said)
    return {"reasons": [np.concatenate(reasons) for reasons in found], "left": pa.concat_arrays(left)}


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returns, and the CPU seconds it took, children included."""
    before = _cpu()
    return call(), _cpu() - before


def _cpu() -> float:
    own, below = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + below.ru_utime + below.ru_stime


def main(task: str, source: str, answer: str, settings: str = "{}") -> None:
    """Do one task once and write what came of it."""
    text = inputs.corpus(Path(source))["text"].combine_chunks()
    call = functools.partial({"dedup": deduplicate, "filters": filters}[task], **json.loads(settings))
    call(pa.concat_arrays([text.slice(0, WARM_UP)] * 2))  # twice: with duplicates, all of it is warm
    began = time.perf_counter()
    result, cpu = timed(lambda: call(text))
    said: dict[str, Any] = {"cpu": cpu, "wall": time.perf_counter() - began}
    if task == "dedup":
        said |= {"removed": result.removed.tolist(), "witness": result.witness.tolist()}
    else:
        said |= {"reasons": [reasons.tolist() for reasons in result["reasons"]]}
        said |= {"left": [inputs.short_digest(one) for one in result["left"].to_pylist()]}
    Path(answer).write_text(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
