"""Train a fastText model that tells documents one wants from others, and measure it on what it did not see.

It makes a file from files, so it is no stage of a pipeline: `millrace train-classifier` reads the sets and calls
`train`; ClassifierFilter applies the model.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib.metadata
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from curator import fasttext_model
from curator.errors import InputError, ModelError, SpecError, check_seed
from curator.fasttext_model import LABEL
from curator.filter import metrics
from curator.filter.prepared import RECORD, VERSION, prepared, probabilities
from millrace import config, storage, tables

M_PERTURB = -6  # of mallopt(3)
NULL_BYTES = 255  # whose complement fills new memory


@dataclass(frozen=True)
class TrainQualityClassifier:
    """Train a fastText classifier on two sets of texts (Joulin et al. 2016; for web text Brown et al. 2020, A).

    Equal texts of a set count once. Which texts are held out, and the order in which the others are learnt from,
    follows from hashes of their content, so that the order of files does not matter. The same texts and settings give
    the same bytes on one kind of processor: one thread learns, some 18 MB of text a second and epoch. The texts are
    held in memory. A few thousand texts need more epochs and a higher rate (25, 0.5) to be told apart well.
    """

    label: str = "hq"  # of the positive set
    other: str = "lq"  # of the negative set
    lowercase: bool = False  # as published classifiers have it; ClassifierFilter must be told the same
    holdout: float = 0.1  # share of the texts that metrics are measured on
    seed: int = 0
    dim: int = 16  # the paper (3.1) has 10; a power of two is quicker, and two labels need no more
    learning_rate: float = 0.1  # the paper tries 0.05 to 0.5
    epochs: int = 5  # as the paper
    word_ngrams: int = 2  # the paper: bigrams gain 1 to 4 % over words
    buckets: int = 1_000_000  # for bigrams; at dim 16 a model of 64 MB, and its words
    min_count: int = 1  # words seen less often are known by their bigrams only; fastText's default

    def __post_init__(self) -> None:
        config.check(self)
        check_seed("TrainQualityClassifier", self.seed)
        for name in (self.label, self.other):
            if not name or any(c.isspace() for c in name) or name.startswith(LABEL):
                raise SpecError(f"TrainQualityClassifier: {name!r} cannot be a label; write a word without {LABEL}")
        if self.label == self.other:
            raise SpecError(f"TrainQualityClassifier: label and other are both {self.label!r}; they must differ")
        if not 0 < self.holdout < 1:
            raise SpecError(f"TrainQualityClassifier.holdout is {self.holdout}; it must be above 0 and below 1")
        for field in ("dim", "epochs", "word_ngrams", "buckets", "min_count"):
            if getattr(self, field) < 1:
                raise SpecError(f"TrainQualityClassifier.{field} is {getattr(self, field)}; it must be at least 1")
        if not self.learning_rate > 0:
            raise SpecError(f"TrainQualityClassifier.learning_rate is {self.learning_rate}; it must be above 0")


def train(
    settings: TrainQualityClassifier, positive: Iterable[pa.Array], negative: Iterable[pa.Array], output: str
) -> dict[str, Any]:
    """Write the model to `output` and its record to `output`.json; return the record.

    The sets come as arrays of strings. Missing and blank texts are left out, and counted. The record holds settings,
    counts and hashes of the sets, the preparation of text, the version of fastText, the model's checksum, and the
    metrics of the texts held out. Raises InputError where a set is empty, too small to hold any out, or shares a text
    with the other; ModelError where fastText cannot learn from them.
    """
    sets = {settings.label: _Set.of(positive, settings), settings.other: _Set.of(negative, settings)}
    _check(sets)
    held = {label: texts.split(settings.holdout)[0] for label, texts in sets.items()}
    with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
        _write_lines(f"{folder}/train.txt", sets, settings.holdout)
        _learn(settings, f"{folder}/train.txt", f"{folder}/model.bin")
        model = fasttext_model.load(f"{folder}/model.bin")
        scores = [probabilities(model.predict, pa.array(texts), settings.label) for texts in held.values()]
        storage.write_bytes(output, Path(folder, "model.bin").read_bytes())
    positives = np.repeat([True, False], [len(texts) for texts in held.values()])
    record = {
        "settings": dataclasses.asdict(settings),
        "sets": {label: texts.described(settings.holdout) for label, texts in sets.items()},
        "preparation": {"version": VERSION, "lowercase": settings.lowercase},
        "fasttext": importlib.metadata.version("fasttext"),
        "model": tables.checksum(output),
        "holdout": metrics.evaluate(np.concatenate(scores), positives),
    }
    storage.write_json(output + RECORD, record)
    return record


@dataclass(frozen=True)
class _Set:
    texts: dict[bytes, str]  # prepared, by the digest of their content
    given: int
    blank: int

    @classmethod
    def of(cls, arrays: Iterable[pa.Array], settings: TrainQualityClassifier) -> _Set:
        texts: dict[bytes, str] = {}
        given = blank = 0
        for array in arrays:
            for text in prepared(array.cast(pa.large_string()), settings.lowercase).to_pylist():
                given += 1
                if not text or text.isspace():
                    blank += 1
                else:
                    texts.setdefault(xxhash.xxh3_128_digest(text.encode(), seed=settings.seed), text)
        return cls(dict(sorted(texts.items())), given, blank)

    def split(self, share: float) -> tuple[list[str], list[str]]:
        """Return the texts held out, and the others, each by digest."""
        parts: tuple[list[str], list[str]] = ([], [])
        for digest, text in self.texts.items():
            parts[not is_held_out(digest, share)].append(text)
        return parts

    def described(self, share: float) -> dict[str, Any]:
        whole = xxhash.xxh3_128_hexdigest(b"".join(self.texts))
        held = len(self.split(share)[0])
        return {"given": self.given, "blank": self.blank, "distinct": len(self.texts), "held_out": held, "xxh3": whole}


def is_held_out(digest: bytes, share: float) -> bool:
    """Tell whether the text of a digest belongs to the share that is held out."""
    return int.from_bytes(digest[:4]) < share * (1 << 32)


def _check(sets: dict[str, _Set]) -> None:
    for label, texts in sets.items():
        if not texts.texts:
            raise InputError(f"the set of {label} has no text ({texts.given} documents, {texts.blank} of them blank)")
    (label, one), (other, two) = sets.items()
    if both := sorted(one.texts.keys() & two.texts.keys()):
        shown = one.texts[both[0]][:60]
        raise InputError(f"{len(both)} texts are both {label} and {other}, such as {shown!r}; take them out of one set")


def _write_lines(path: str, sets: dict[str, _Set], share: float) -> None:
    """Write what is learnt from, in the order of digests, which is as good as shuffled."""
    lines = sorted((digest, label) for label, texts in sets.items() for digest in texts.texts)
    learnt = [(digest, label) for digest, label in lines if not is_held_out(digest, share)]
    for label, texts in sets.items():
        count = sum(name == label for _, name in learnt)
        if count in (0, len(texts.texts)):
            side = "to learn from" if not count else "held out"
            raise InputError(f"of the {len(texts.texts)} texts of {label} none is {side}; give more, or change holdout")
    with storage.writing(path, durable=False) as stream:
        for digest, label in learnt:
            stream.write(f"{LABEL}{label} {sets[label].texts[digest]}\n".encode())


def _learn(settings: TrainQualityClassifier, lines: str, model: str) -> None:
    import fasttext

    with _cleared_memory():
        try:
            made = fasttext.train_supervised(
                input=lines, dim=settings.dim, lr=settings.learning_rate, epoch=settings.epochs, thread=1, verbose=0,
                wordNgrams=settings.word_ngrams, bucket=settings.buckets, minCount=settings.min_count,
                seed=settings.seed, loss="softmax",
            )  # fmt: skip
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"fastText cannot learn from these sets: {error} (learning_rate or min_count?)") from None
    made.save_model(model)


@contextlib.contextmanager
def _cleared_memory() -> Iterator[None]:
    """Have the C library fill new memory with zeros.

    fastText 0.9.3 on one thread sets only the first tenth of its matrix and learns on top of what lay in the rest:
    other bytes each time, and now and then "Encountered NaN" (DenseMatrix::uniformThread, AlignedVector).
    """
    try:
        set_option = ctypes.CDLL(None).mallopt
    except AttributeError:
        raise ModelError("training needs the GNU C library, whose mallopt can clear memory for fastText") from None
    set_option(M_PERTURB, NULL_BYTES)
    try:
        yield
    finally:
        set_option(M_PERTURB, 0)
