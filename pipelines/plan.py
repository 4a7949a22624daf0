"""`--plan`: what would run, on how much, at what estimated cost; nothing is read but sizes."""

from __future__ import annotations

from curator.pipeline import Pipeline
from curator.run.plan import cut
from curator.run.register import listing
from curator.run.runner import planned
from curator.stage import Reader

# CPU seconds a megabyte of a stage's input on one core, rounded from single-stage timings of 2026-11
# (ExtractHtml: trafilatura, fast). The estimate is for choosing between an hour and a day.
SECONDS_PER_MB = {
    "ReadWarc": 0.007,
    "ReadJsonl": 0.005,
    "ReadParquet": 0.002,
    "ReadConversations": 0.05,
    "UrlFilter": 0.001,  # of text, at some 2 KB a URL
    "ExtractHtml": 0.45,
    "FixUnicode": 0.01,
    "RefinedWebLines": 0.01,
    "C4Lines": 0.01,
    "RemoveBoilerplate": 0.004,
    "RemoveUrls": 0.004,
    "RemoveCitations": 0.004,
    "RemoveMarkdown": 0.015,
    "RemoveRepeatedLines": 0.004,
    "RemoveBlankLines": 0.006,
    "RedactPii": 0.02,
    "IdentifyLanguage": 0.07,
    "GopherQuality": 0.005,
    "GopherRepetition": 0.009,
    "DolmaRepetition": 0.004,  # beside GopherQuality, with which it shares words; alone 0.009
    "FineWebQuality": 0.002,  # beside Gopher's, with which it shares words and lines
    "C4Quality": 0.003,
    "C4Paragraphs": 0.002,
    "C4BadWords": 0.004,
    "NemoEnglish": 0.011,  # beside Gopher's less: 0.003
    "LanguageQuality": 0.03,
    "CodeQuality": 0.01,
    "ClassifierFilter": 0.06,
    "ModelScore": 1000.0,  # BERT base on the first 512 tokens of texts of 3 kB; another model takes what it takes
    "Perplexity": 0.08,
    "TopShare": 0.001,
    "Decontaminate": 0.003,
    "ExactDedup": 0.001,
    "FuzzyDedup": 0.004,
    "SemanticDedup": 0.02,  # of a given embedding; a model takes what it takes
    "ParagraphDedup": 0.015,
    "LineDedup": 0.025,
    "SubstringDedup": 0.05,
    "Tokenize": 0.33,
    "Pack": 0.01,
}
OTHER_STAGES = 0.01
WRITING = 0.01  # a segment, for each megabyte of text
START = 4.0  # seconds until the workers work
TEXT_OF_HTML = 0.05  # characters of main text for one of HTML
EXPANSION = {".gz": 5.0, ".zst": 5.0, ".parquet": 3.0, ".bz2": 6.0, ".xz": 6.0}  # of stored bytes; a guess


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
    total = START
    for stage in pipeline.stages:
        name = type(stage).__name__
        total += megabytes * SECONDS_PER_MB.get(name, OTHER_STAGES)
        if name == "ExtractHtml":
            megabytes *= TEXT_OF_HTML
    return total + len(cut(pipeline)) * megabytes * WRITING
