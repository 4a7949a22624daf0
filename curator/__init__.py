"""Curate text for language models. The stages, in the order data meets them.

Names are imported on first use, so that `import curator` stays light.
"""

import importlib
from typing import Any

_PLACES = {
    "ReadWarc": "curator.read.warc",
    "ReadJsonl": "curator.read.jsonl",
    "ReadParquet": "curator.read.parquet",
    "ReadConversations": "curator.read.conversations",
    "UrlFilter": "curator.filter.urls",
    "ExtractHtml": "curator.extract.html",
    "FixUnicode": "curator.clean.unicode",
    "RefinedWebLines": "curator.clean.refinedweb",
    "C4Lines": "curator.clean.c4_lines",
    "RemoveBoilerplate": "curator.clean.boilerplate",
    "RemoveUrls": "curator.clean.patterns",
    "RemoveCitations": "curator.clean.patterns",
    "RemoveMarkdown": "curator.clean.markdown",
    "RemoveRepeatedLines": "curator.clean.lines",
    "RemoveBlankLines": "curator.clean.lines",
    "RedactPii": "curator.clean.pii.redact",
    "IdentifyLanguage": "curator.identify.language",
    "GopherQuality": "curator.filter.gopher",
    "GopherRepetition": "curator.filter.gopher",
    "DolmaRepetition": "curator.filter.dolma",
    "FineWebQuality": "curator.filter.fineweb",
    "C4Quality": "curator.filter.c4",
    "C4Paragraphs": "curator.filter.c4",
    "C4BadWords": "curator.filter.bad_words",
    "NemoEnglish": "curator.filter.nemo",
    "LanguageQuality": "curator.filter.languages",
    "CodeQuality": "curator.filter.code",
    "ClassifierFilter": "curator.filter.classifier",
    "ModelScore": "curator.filter.model_score",
    "Perplexity": "curator.filter.perplexity",
    "TopShare": "curator.filter.top_share",
    "Decontaminate": "curator.filter.contamination",
    "ExactDedup": "curator.dedup.exact",
    "FuzzyDedup": "curator.dedup.fuzzy",
    "SemanticDedup": "curator.dedup.semantic",
    "ParagraphDedup": "curator.dedup.lines",
    "LineDedup": "curator.dedup.lines",
    "SubstringDedup": "curator.dedup.substring",
    "Tokenize": "curator.tokenize.tokenizer",
    "Pack": "curator.tokenize.pack",
    "TrainQualityClassifier": "curator.filter.train_classifier",
    "Pipeline": "curator.pipeline",
    "profile": "curator.profiles",
}

__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module curator has no attribute {name}")
    return getattr(importlib.import_module(_PLACES[name]), name)
