"""What a model must beat: the unigram entropy of the validation labels, and a bigram model's cross-entropy on them.

Both are over exactly the labels that the validation loss counts (weight 1), in nats a label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pretrain.batch import Batch
from pretrain.data.corpus import Corpus

ROWS = 16  # read at once
MAX_TRAIN_TOKENS = 20_000_000  # that a bigram model is counted on: 320 MB, some 10 s


@dataclass(frozen=True)
class NGrams:
    """Two baselines of a validation loss, in nats a label."""

    unigram: float  # entropy of the labels themselves
    bigram: float  # cross-entropy of a bigram model of training rows
    labels: int  # validation labels that count
    train_labels: int  # training labels the bigram model was counted on


def baselines(corpus: Corpus, max_train_tokens: int = MAX_TRAIN_TOKENS) -> NGrams | None:
    """Measure both on all validation rows of a corpus; None where there are none.

    The bigram model is counted on the first training rows, an epoch of every set at most and `max_train_tokens`
    cells. Deterministic; depends on no rank.
    """
    if not corpus.validation_rows:
        return None
    epoch = sum(int(ends[-1]) for ends in corpus.ends)
    rows = max(min(epoch, max_train_tokens // corpus.seq_length), 1)
    validation = [pairs([corpus.validation(numbers)]) for numbers in _blocks(corpus.validation_rows)]
    before, labels = np.concatenate([p[0] for p in validation]), np.concatenate([p[1] for p in validation])
    train = pairs(corpus.training(numbers) for numbers in _blocks(rows))
    bigram = bigram_cross_entropy(train, (before, labels), corpus.vocab_size)
    return NGrams(unigram_entropy(labels), bigram, len(labels), len(train[1]))


def pairs(batches: Iterable[Batch]) -> tuple[np.ndarray, np.ndarray]:
    """Return (token, label) of every cell whose label counts: int32 (n,) each."""
    found = [(b.tokens[b.weights > 0].astype(np.int32), b.labels[b.weights > 0].astype(np.int32)) for b in batches]
    none = np.zeros(0, np.int32)
    return np.concatenate([none, *(f[0] for f in found)]), np.concatenate([none, *(f[1] for f in found)])


def unigram_entropy(labels: np.ndarray) -> float:
    """Return the entropy of the labels' own frequencies, in nats; 0 without labels."""
    if not len(labels):
        return 0.0
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(share * np.log(share)).sum()) + 0.0


def bigram_cross_entropy(
    train: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray], vocab_size: int
) -> float:
    """Return the mean of -ln P(label | token) over the validation pairs, P counted on the training pairs.

    Witten-Bell smoothing (Witten and Bell 1991), interpolated as in Chen and Goodman 1999: after a token seen n
    times with t different labels, P = (count + t * P1) / (n + t), with P1 the labels' own distribution, smoothed
    likewise towards the uniform one. 0 without validation pairs. 16 bytes a training pair.
    """
    if not len(validation[1]):
        return 0.0
    return float(-np.log(_bigram(train, validation, vocab_size)).mean())


def _bigram(train: tuple[np.ndarray, np.ndarray], asked: tuple[np.ndarray, np.ndarray], vocab_size: int) -> np.ndarray:
    """Return P(label | token) of each pair that is asked for: float64 (n,)."""
    keys, counts = np.unique(_key(*train), return_counts=True)
    before = keys >> 32
    seen = np.bincount(before, weights=counts, minlength=vocab_size)  # of each token as the one before
    kinds = np.bincount(before, minlength=vocab_size)  # different labels after it
    unigram = _unigram(train[1], vocab_size)
    wanted = _key(*asked)
    place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
    count = np.where(keys[place] == wanted, counts[place], 0) if len(keys) else np.zeros(len(wanted))
    token, below = asked[0], unigram[asked[1]]
    mass = seen[token] + kinds[token]
    found: np.ndarray = np.where(mass > 0, (count + kinds[token] * below) / np.maximum(mass, 1), below)
    return found


def _unigram(labels: np.ndarray, vocab_size: int) -> np.ndarray:
    counts = np.bincount(labels, minlength=vocab_size)
    kinds = max(int((counts > 0).sum()), 1)
    smoothed: np.ndarray = (counts + kinds / vocab_size) / (len(labels) + kinds)
    return smoothed


def _key(token: np.ndarray, label: np.ndarray) -> np.ndarray:
    key: np.ndarray = (token.astype(np.int64) << 32) | label
    return key


def _blocks(rows: int) -> Iterator[np.ndarray]:
    for first in range(0, rows, ROWS):
        yield np.arange(first, min(first + ROWS, rows))
