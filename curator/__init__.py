"""Curate text for language models. The stages, in the order data meets them.

Names are imported on first use, so that `import curator` stays light.
"""

import importlib
from typing import Any

_PLACES = {
    "ReadWarc": "curator.read.warc",
    "ReadJsonl": "curator.read.jsonl",
    "ReadParquet": "curator.read.parquet",
    "ExtractHtml": "curator.extract.html",
    "FixUnicode": "curator.clean.unicode",
    "IdentifyLanguage": "curator.identify.language",
    "GopherQuality": "curator.filter.gopher",
    "GopherRepetition": "curator.filter.gopher",
    "FineWebQuality": "curator.filter.fineweb",
    "NemoEnglish": "curator.filter.nemo",
    "ExactDedup": "curator.dedup.exact",
    "FuzzyDedup": "curator.dedup.fuzzy",
    "SemanticDedup": "curator.dedup.semantic",
    "ParagraphDedup": "curator.dedup.lines",
    "LineDedup": "curator.dedup.lines",
    "SubstringDedup": "curator.dedup.substring",
    "Tokenize": "curator.tokenize.tokenizer",
    "Pack": "curator.tokenize.pack",
    "Pipeline": "curator.pipeline",
    "profile": "curator.profiles",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module curator has no attribute {name}")
    return getattr(importlib.import_module(_PLACES[name]), name)
