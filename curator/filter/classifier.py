"""Filtering by a fastText classifier, as GPT-3 and many since have filtered web text."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import xxhash

from curator import fasttext_model, frames
from curator.errors import ModelError, SpecError, check_seed
from curator.fasttext_model import Predict
from curator.filter.prepared import RECORD, VERSION, prepared, probabilities
from curator.stage import Filter, Frame, Rule, at_least, at_most
from millrace import storage, tables
from millrace.config import did_you_mean


@dataclass(frozen=True)
class ClassifierFilter(Filter):
    """Score texts by the probability of a fastText model's label, and reject by score or by a drawn limit.

    Writes `<name>_score`. A missing or blank text has score 0. `min_score` is a fixed limit. `pareto_alpha` keeps
    low scores too, but the fewer the lower: a text stays if a Pareto (Lomax) draw of that shape exceeds 1 - score
    (Brown et al. 2020, appendix A: alpha 9; NeMo Curator: 3). The draw follows from text and `seed`, not from the order
    of documents; what is stored, `<name>_pareto`, is the largest alpha that keeps the text, so that another
    alpha can be tried on stored signals. For a share of the corpus instead of a limit: TopShare. About 18 MB/s a core.
    """

    model: str  # path of a supervised fastText model
    label: str = "hq"
    name: str = "quality"  # of the column and signals
    lowercase: bool = False  # must be what the model was trained with; checked where its record lies beside it
    min_score: float | None = 0.5  # ours: where the label becomes the likelier one of two
    max_score: float | None = None  # for labels one does not want
    pareto_alpha: float | None = None
    seed: int = 0  # of the draws

    reads: ClassVar = {"text": "string"}
    version: ClassVar = VERSION  # of what the model reads of a text
    libraries: ClassVar = ("fasttext",)
    files: ClassVar = ("model",)

    def __post_init__(self) -> None:
        check_name("ClassifierFilter", self.name)
        check_seed("ClassifierFilter", self.seed)
        if self.pareto_alpha is not None and not self.pareto_alpha > 0:
            raise SpecError(f"ClassifierFilter.pareto_alpha is {self.pareto_alpha}; it must be above 0")

    @property
    def writes(self) -> dict[str, str]:  # type: ignore[override]
        return {f"{self.name}_score": "float32"}

    @property
    def signals(self) -> dict[str, str]:  # type: ignore[override]
        return {f"{self.name}_pareto": "float64"}

    @property
    def rules(self) -> tuple[Rule, ...]:  # type: ignore[override]
        return (
            at_least("low_score", f"{self.name}_score", "min_score"),
            at_most("high_score", f"{self.name}_score", "max_score"),
            at_least("score_drawn", f"{self.name}_pareto", "pareto_alpha"),
        )

    def check(self, output: str) -> None:
        """Load the model, so that what is wrong with it is said before anything is read."""
        self._predict()

    def measure(self, frame: Frame) -> Frame:
        """Return score and draw. Raises ModelError on a bad model, another label, another preparation."""
        texts = frames.column_to_arrow(frame["text"]).cast(pa.large_string())
        scores = probabilities(self._predict(), prepared(texts, self.lowercase), self.label)
        reach = pareto_reach(scores, draws(texts, self.seed))
        return frames.like(frame["text"], {f"{self.name}_score": scores, f"{self.name}_pareto": reach})

    def _predict(self) -> Predict:
        changed = Path(self.model).stat().st_mtime_ns if Path(self.model).is_file() else 0
        return _checked(self.model, changed, self.label, self.lowercase)


def draws(texts: pa.Array, seed: int) -> np.ndarray:
    """Return one number in (0, 1) for each text, float64, uniform over texts; equal texts have equal ones."""
    contents = texts.cast(pa.large_binary()).to_pylist()
    hashes = [xxhash.xxh3_64_intdigest(content or b"", seed=seed) >> 11 for content in contents]
    return (np.array(hashes, np.float64) + 0.5) / (1 << 53)


def pareto_reach(scores: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return the largest shape alpha whose draw from Pareto (Lomax) exceeds 1 - score, float64.

    The draw of a uniform u is u ** (-1 / alpha) - 1, so it exceeds 1 - score for alpha below ln u / -ln(2 - score).
    A score of 1 is kept by any alpha.
    """
    above = np.log1p(np.maximum(1 - scores.astype(np.float64), 2.0**-53))
    reach: np.ndarray = -np.log(uniform) / above
    return reach


def check_name(stage: str, name: str) -> None:
    """Refuse what cannot begin a column's name."""
    if not name.isidentifier():
        raise SpecError(f"{stage}.name is {name!r}; it must be a word of letters, digits and _, not first a digit")


@functools.lru_cache(maxsize=8)
def _checked(path: str, changed: int, label: str, lowercase: bool) -> Predict:
    """Return the model's predict, once it is known that it has the label and was trained on text so prepared."""
    model = fasttext_model.load(path)
    known = fasttext_model.labels(model)
    if label not in known:
        raise ModelError(
            f"ClassifierFilter.label is {label!r}, which {path} does not have.{did_you_mean(label, known)}"
            f" It has {len(known)}: {', '.join(known[:200])}"
        )
    if storage.exists(path + RECORD):
        _check_record(path, lowercase)
    return model.predict  # type: ignore[no-any-return]


def _check_record(path: str, lowercase: bool) -> None:
    record: Any = storage.read_json(path + RECORD)
    try:
        model, trained = record["model"]["xxh3"], record["preparation"]
        version, case = trained["version"], trained["lowercase"]
    except (KeyError, TypeError):
        raise ModelError(f"{path}{RECORD} is not the record of a trained classifier") from None
    if model != tables.checksum(path)["xxh3"]:
        raise ModelError(f"{path}{RECORD} is the record of another model; delete it, or put its model back")
    if version != VERSION:
        raise ModelError(f"{path} was trained on text prepared another way (version {version}, now {VERSION}); retrain")
    if case != lowercase:
        raise ModelError(f"{path} was trained with lowercase: {case}; set ClassifierFilter.lowercase to that")
