"""run.json: what ran, on what, and what came of it, summed over the parts."""

from __future__ import annotations

import importlib.metadata
import itertools
import platform
from collections import Counter
from collections.abc import Iterable
from typing import Any

from curator import spec
from curator.pipeline import Pipeline
from curator.run.folder import RunFolder
from curator.run.marks import Mark
from curator.run.register import Input
from millrace import __version__, storage

LIBRARIES = ("dask", "distributed", "pandas", "pyarrow", "numpy", "numba")


def write(
    folder: RunFolder,
    pipeline: Pipeline,
    marks: dict[int, list[Mark]],
    inputs: list[Input],
    *,
    segments: list[str],
    limit: int | None,
    fit_seconds: dict[int, float],
    seconds: float,
    workers: int,
    device: str,
) -> dict[str, Any]:
    """Write run.json and return its content."""
    first = [ms[0] for ms in marks.values()]
    libraries = sorted({*LIBRARIES, *(name for stage in pipeline.stages for name in stage.libraries)})
    content = {
        "millrace": __version__,
        "run_uid": storage.read_json(folder.inputs)["run_uid"],
        "pipeline": spec.to_spec(pipeline),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in libraries},
        },
        "device": device,
        "workers": workers,
        "limit": limit,
        "seconds": round(seconds, 3),  # of this call; a resumed run has spent others before
        "segments": segments,
        "inputs": {
            "files": len({item.part.url for item in inputs}),
            "parts": len(inputs),
            "bytes": sum({item.part.url: item.bytes for item in inputs}.values()),
        },
        "read": sum(mark.get("read", 0) for mark in first),
        "documents": sum(ms[-1]["rows"] for ms in marks.values() if "quarantined" not in ms[0]),
        "stages": _with_fits(stage_counts(marks.values()), fit_seconds),
        "skipped": dict(sorted(_summed(mark.get("skipped", {}) for mark in first).items())),
        "quarantined": list({m["quarantined"]["file"]: m["quarantined"] for m in first if "quarantined" in m}.values()),
        "kernel_fallback_bytes": sum(m.get("kernel_fallback_bytes", 0) for ms in marks.values() for m in ms),
        "tokens": _tokens(folder, pipeline),
    }
    storage.write_json(folder.summary, content)
    return content


def stage_counts(marks: Iterable[list[Mark]]) -> list[dict[str, Any]]:
    """Sum documents, characters, seconds and reasons of each stage over all parts, in pipeline order."""
    totals: dict[int, dict[str, Any]] = {}
    for mark in itertools.chain.from_iterable(marks):
        for count in mark["stages"]:
            total = totals.setdefault(
                count["index"], {"stage": count["stage"], "index": count["index"], "rejected": Counter()}
            )
            for name in ("documents_in", "documents_out", "characters_in", "characters_out", "seconds"):
                total[name] = total.get(name, 0) + count[name]
            total["rejected"].update(count["rejected"])
    for total in totals.values():
        total["seconds"] = round(total["seconds"], 3)
        total["rejected"] = dict(total["rejected"].most_common())
    return [totals[index] for index in sorted(totals)]


def _with_fits(stages: list[dict[str, Any]], fit_seconds: dict[int, float]) -> list[dict[str, Any]]:
    return [{**stage, "fit_seconds": round(fit_seconds.get(stage["index"], 0.0), 3)} for stage in stages]


def _summed(counts: Any) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total


def _tokens(folder: RunFolder, pipeline: Pipeline) -> dict[str, Any] | None:
    """What the manifest says in short, where the pipeline packs."""
    if not any(stage.output == "tokens" for stage in pipeline.stages if hasattr(stage, "output")):
        return None
    manifest = storage.read_json(folder.path("tokens", "manifest.json"))
    return {name: manifest[name] for name in ("documents", "tokens", "rows", "fill", "vocab_size", "seq_length")}
