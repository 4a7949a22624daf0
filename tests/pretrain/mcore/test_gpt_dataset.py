"""Megatron's GPTDataset gives batches of the same form, which respect documents at least as far as it does itself."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from pretrain.config import Data
from pretrain.data.corpus import Corpus
from tests.pretrain.mcore import ranks
from tests.pretrain.mcore.gpt_samples import GLOBAL, MICRO
from tests.pretrain.shard_sets import random_documents, write_shards

LENGTH, VOCABULARY, ROWS = 32, 500, 240


pytestmark = pytest.mark.slow  # two ranks


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """(settings, documents by id, the answer of each of two ranks); documents of set "e" are longer than a row."""
    folder = tmp_path_factory.mktemp("gpt")
    short, long = random_documents(200, VOCABULARY, LENGTH - 1, 1), random_documents(60, VOCABULARY, 90, 2)
    sets = {
        str(write_shards(folder / "short", short, LENGTH, VOCABULARY, shard_rows=40)): 1,
        str(write_shards(folder / "long", long, LENGTH, VOCABULARY, name="e")): 2,
    }
    settings: dict[str, Any] = {"shards": sets, "validation_share": 0.2, "layout": "gpt_dataset", "prefetch": 2}
    documents = {f"{name}{i}": [*d, 0] for name, some in (("d", short), ("e", long)) for i, d in enumerate(some)}
    only_short = settings | {"shards": next(iter(sets))}
    answers = ranks.run(2, "tests.pretrain.mcore.gpt_samples:read", [settings, only_short], ROWS, str(folder / "work"))
    both, short_both = zip(*answers, strict=True)
    return settings, documents, list(both), (only_short, list(short_both))


def rows_of(answers: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Every row of all ranks' batches by its position, with its own documents' bounds."""
    found = {}
    for answer in answers:
        for batch in answer["batches"]:
            bounds = np.array(batch["cu_seqlens"])
            assert set(range(0, MICRO * LENGTH + 1, LENGTH)) <= set(bounds.tolist())
            assert (np.diff(bounds) > 0).all()
            for i, row in enumerate(batch["rows"]):
                mine = bounds[(bounds >= i * LENGTH) & (bounds <= (i + 1) * LENGTH)] - i * LENGTH
                cells = {name: batch[name][i] for name in ("tokens", "labels", "weights", "positions")}
                assert row not in found
                found[row] = cells | {"bounds": mine.tolist()}
    return found


def test_ranks_share_the_samples(answers):
    _, _, both, _ = answers
    assert sorted(rows_of(both)) == list(range(ROWS))
    for answer in both:
        assert len(answer["batches"]) * MICRO * 2 == ROWS
        assert answer["again"]
        assert answer["left"] == []
        assert f"is past the {ROWS} rows that data.layout gpt_dataset was built for" in answer["said"]
        assert answer["peer"] == both[0]["peer"]


def test_where_every_piece_has_its_end_token_it_is_what_megatron_resets(answers):
    _, _, _, (_, short) = answers
    for row, cells in rows_of(short).items():
        bounds = cells.pop("bounds")
        assert cells == short[0]["peer"][row]
        assert bounds == [i for i, p in enumerate(cells["positions"]) if p == 0] + [LENGTH]


def test_a_document_is_a_run_of_its_own_tokens_even_where_it_was_cut(answers):
    _, documents, both, _ = answers
    differ = 0
    for row, cells in rows_of(both).items():
        batch_documents = set(both[0]["documents"][row // GLOBAL])
        for low, high in itertools.pairwise(cells["bounds"]):
            tokens = cells["tokens"][low:high]
            homes = [n for n in batch_documents if is_inside(tokens, documents[n])]
            assert homes, (row, tokens)
            assert cells["positions"][low:high] == list(range(high - low))
            assert cells["labels"][low : high - 1] == tokens[1:]
            assert cells["weights"][low : high - 1] == [1.0] * (high - low - 1)
            if high < LENGTH:
                assert (cells["weights"][high - 1], cells["labels"][high - 1]) == (0.0, 0)
            elif cells["weights"][-1]:
                assert any(is_inside([*tokens, cells["labels"][-1]], documents[n]) for n in homes)
        differ += cells["positions"] != both[0]["peer"][row]["positions"]
    assert differ > 10  # where Megatron runs two documents into one


def is_inside(tokens: list[int], document: list[int]) -> bool:
    return any(document[i : i + len(tokens)] == tokens for i in range(len(document) - len(tokens) + 1))


def test_no_held_out_document_is_trained_on_and_validation_is_that_of_packed_rows(answers):
    settings, _, both, (only_short, short) = answers
    for chosen, answer in ((settings, both[0]), (only_short, short[0])):
        packed = Corpus(Data(**(chosen | {"layout": "packed"})))
        held = {
            name
            for i, sides in enumerate(packed.rows)
            for k, side in enumerate(sides)
            for name in packed._ids(i, k, np.flatnonzero(side.held).tolist())
        }
        trained = {name for names in answer["documents"] for name in names}
        assert held
        assert not trained & held
        assert answer["held"] == packed.held.length.tolist()
        assert len(trained) > 150


def test_shares_and_epochs_follow_the_weights(answers):
    settings, _, both, _ = answers
    names = [name for names in both[0]["documents"] for name in names]
    assert names
    short, long = both[0]["describe"][:2]
    assert "weight 33.33%" in short
    assert "weight 66.67%" in long
    corpus = Corpus(Data(**(settings | {"layout": "packed"})))
    epochs = [ROWS * LENGTH * share / tokens for share, tokens in zip((1 / 3, 2 / 3), corpus.train_tokens)]
    assert f"{epochs[0]:.2f} epochs in {ROWS // GLOBAL} steps" in short
    assert f"{epochs[1]:.2f} epochs" in long
