"""`--plan`: what would run, on how much, at what estimated cost; nothing is read but sizes."""

from __future__ import annotations

from curator.pipeline import Pipeline
from curator.run.register import listing
from curator.run.runner import planned
from curator.stage import Reader

# CPU seconds a megabyte of text at each stage's input, as measured by benchmarks/ on one core; see
# benchmarks/results/. A page of HTML counts with its HTML for ReadWarc and ExtractHtml.
SECONDS_PER_MB = {
    "ReadWarc": 0.02,
    "ReadJsonl": 0.01,
    "ReadParquet": 0.01,
    "ExtractHtml": 0.30,
    "FixUnicode": 0.03,
    "IdentifyLanguage": 0.10,
    "GopherQuality": 0.006,
    "GopherRepetition": 0.006,
    "ExactDedup": 0.005,
    "FuzzyDedup": 0.01,
    "Tokenize": 0.30,
    "Pack": 0.02,
}
"""Text that is left of HTML, and the expansion of compressed input: rough, for the estimate only."""
TEXT_OF_HTML = 0.05
EXPANSION = {".gz": 5.0, ".zst": 5.0, ".parquet": 3.0, ".bz2": 6.0, ".xz": 6.0}


def describe(pipeline: Pipeline) -> str:
    """Return the plan in words: input, passes, and an estimate of CPU time."""
    reader = pipeline.stages[0] if pipeline.stages else None
    lines = [str(pipeline)]
    if isinstance(reader, Reader):
        files = [file for _, file in listing(reader).values()]
        parts = sum(len(reader.splits(file.url, file.bytes)) for file in files)
        stored = sum(file.bytes for file in files)
        text = sum(file.bytes * next((x for e, x in EXPANSION.items() if file.url.endswith(e)), 1) for file in files)
        lines.append(f"input   {len(files)} files, {parts} parts, {stored / 1e6:.1f} MB stored")
        seconds = estimate(pipeline, text / 1e6)
        lines.append(f"cost    about {seconds:.0f} CPU seconds, if the input unpacks to {text / 1e6:.0f} MB (a guess)")
    return "\n".join([*lines, *planned(pipeline)])


def estimate(pipeline: Pipeline, megabytes: float) -> float:
    """Return CPU seconds for this much raw input; filters are taken to keep everything."""
    total = 0.0
    for stage in pipeline.stages:
        name = type(stage).__name__
        total += megabytes * SECONDS_PER_MB.get(name, 0.01)
        if name == "ExtractHtml":
            megabytes *= TEXT_OF_HTML
    return total
