"""Names of persons and places, by Microsoft's Presidio and the spaCy model that the user has."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

from curator.errors import ModelError

KINDS = {"PERSON": "person", "LOCATION": "location"}  # Presidio's names and ours
MIN_SCORE = 0.5  # of 0 to 1; spaCy's entities have 0.85 in Presidio


def is_package(model: str) -> bool:
    """Tell whether a spaCy model is an installed package, as spaCy does."""
    try:
        return bool(importlib.metadata.distribution(model))
    except importlib.metadata.PackageNotFoundError:
        return False


def files_of(model: str) -> tuple[str, ...]:
    """Return the files of a model that is a folder, sorted; of a package none."""
    files = () if is_package(model) else sorted(path for path in Path(model).rglob("*") if path.is_file())
    return tuple(map(str, files))


def check(model: str) -> None:
    """Raise ModelError where Presidio or the model is not installed; nothing is downloaded."""
    if importlib.util.find_spec("presidio_analyzer") is None:
        raise ModelError("names by Presidio need presidio-analyzer; pip install 'millrace[pii]'")
    import spacy

    if not spacy.util.is_package(model) and not Path(model).is_dir():
        raise ModelError(f"{model} is no spaCy model that is installed, nor a folder of one; python -m spacy info")


def names(text: str, model: str, language: str) -> list[tuple[int, int, str]]:
    """Return (start, stop, kind) of names of persons and places in a text, bytes of its UTF-8."""
    results = _engine(model, language).analyze(text, language, entities=list(KINDS), score_threshold=MIN_SCORE)
    return sorted((len(text[: r.start].encode()), len(text[: r.end].encode()), KINDS[r.entity_type]) for r in results)


@functools.lru_cache(maxsize=2)
def _engine(model: str, language: str) -> Any:
    check(model)
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    models = [{"lang_code": language, "model_name": model}]
    nlp = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    return AnalyzerEngine(nlp_engine=nlp, supported_languages=[language])
