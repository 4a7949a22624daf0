"""Baselines of a validation loss: by plain counting, and on sources whose entropy is known."""

from __future__ import annotations

import collections
import math

import numpy as np
import pytest

from pretrain.config import Data
from pretrain.data import ngrams
from pretrain.data.corpus import Corpus
from tests.pretrain.shard_sets import write_shards

VOCABULARY = 40


def chain(documents: int, seed: int = 0) -> list[list[int]]:
    """Documents of a Markov chain: from token t to 1 + (2 t + k) % 39, k = 0, 1 or 2 with 1/2, 1/4, 1/4."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(documents):
        tokens = [int(rng.integers(1, VOCABULARY))]
        for step in rng.choice(3, size=rng.integers(5, 200), p=[0.5, 0.25, 0.25]):
            tokens.append(1 + (2 * tokens[-1] + int(step)) % (VOCABULARY - 1))
        made.append(tokens)
    return made


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = write_shards(tmp_path_factory.mktemp("chain"), chain(400), 64, VOCABULARY)
    return Corpus(Data(shards=str(folder), validation_share=0.2))


def cells(corpus, batches):
    for batch in batches:
        for token, label, weight in zip(batch.tokens.flat, batch.labels.flat, batch.weights.flat):
            if weight:
                yield int(token), int(label)


def test_baselines_are_what_counting_by_hand_gives(corpus):
    held = list(cells(corpus, [corpus.validation(np.arange(corpus.validation_rows))]))
    train = list(cells(corpus, [corpus.training(np.arange(int(corpus.ends[0][-1])))]))
    found = ngrams.baselines(corpus)
    assert (found.labels, found.train_labels) == (len(held), len(train))
    counts = collections.Counter(label for _, label in held)
    entropy = -sum(n / len(held) * math.log(n / len(held)) for n in counts.values())
    assert found.unigram == pytest.approx(entropy)

    pair, single = collections.Counter(train), collections.Counter(label for _, label in train)
    after = collections.Counter(token for token, _ in train)
    kinds = collections.Counter(token for token, _ in pair)

    def probability(token: int, label: int) -> float:
        below = (single[label] + len(single) / VOCABULARY) / (len(train) + len(single))
        if not after[token]:
            return below
        return (pair[token, label] + kinds[token] * below) / (after[token] + kinds[token])

    cross = -sum(math.log(probability(*cell)) for cell in held) / len(held)
    assert found.bigram == pytest.approx(cross)
    assert sum(probability(5, label) for label in range(VOCABULARY)) == pytest.approx(1)


def test_a_bigram_model_finds_the_entropy_of_a_markov_chain(corpus):
    """1.04 nats a step (1/2, 1/4, 1/4), a little more for the ends of documents; the unigram has nearly ln 39."""
    found = ngrams.baselines(corpus)
    assert 1.04 < found.bigram < 1.25
    assert 3.4 < found.unigram < math.log(VOCABULARY)


def test_fewer_training_rows_are_a_worse_model(corpus):
    few, all_ = ngrams.baselines(corpus, max_train_tokens=640), ngrams.baselines(corpus)
    assert few.train_labels <= 640 < all_.train_labels
    assert few.bigram > all_.bigram
    assert few.unigram == all_.unigram


def test_probabilities_sum_to_one_after_any_token():
    rng = np.random.default_rng(0)
    train = (rng.integers(0, 10, 50).astype(np.int32), rng.integers(0, 20, 50).astype(np.int32))
    for token in range(20):  # from 10 on: never seen before a label
        asked = (np.full(20, token, np.int32), np.arange(20, dtype=np.int32))
        assert ngrams._bigram(train, asked, 20).sum() == pytest.approx(1)


def test_without_labels_there_is_nothing_to_beat(tmp_path):
    folder = write_shards(tmp_path, chain(5), 64, VOCABULARY)
    assert ngrams.baselines(Corpus(Data(shards=str(folder), validation_share=0))) is None
    none = (np.zeros(0, np.int32), np.zeros(0, np.int32))
    assert ngrams.unigram_entropy(none[1]) == 0
    assert ngrams.bigram_cross_entropy(none, none, 5) == 0
    one = (np.array([1], np.int32), np.array([2], np.int32))
    assert ngrams.bigram_cross_entropy(none, one, 5) == pytest.approx(math.log(5))
