"""Every rank gets its rows, at any position, and each row is what its documents say; by plain Python beside it."""

from __future__ import annotations

import collections
import itertools
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash

from millrace import storage, tables
from millrace.megatron_index import read_index
from pretrain.batch import Batch
from pretrain.config import Data
from pretrain.data import split
from pretrain.data.corpus import EMPTY, Corpus
from pretrain.data.loader import Ahead, Loader
from pretrain.errors import SettingsError, ShardError
from tests.pretrain.shard_sets import random_documents, write_shards

LENGTH, VOCABULARY = 32, 500


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    documents = random_documents(300, VOCABULARY, 60, seed=1)
    return write_shards(tmp_path_factory.mktemp("one"), documents, LENGTH, VOCABULARY, shard_rows=70)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    documents = random_documents(90, VOCABULARY, 100, seed=2)
    return write_shards(tmp_path_factory.mktemp("other"), documents, LENGTH, VOCABULARY, name="e")


def data(*folders: Path, **settings: object) -> Data:
    return Data(**({"shards": [str(f) for f in folders], "validation_share": 0.2, "prefetch": 0} | settings))  # type: ignore[arg-type]


def stored_rows(folder: Path) -> list[list[tuple[str, list[int]]]]:
    """(document, tokens) of each piece of each row, in stored order, read piece by piece."""
    found = []
    for path in sorted((folder / "tokens").glob("*.idx")):
        dtype, lengths, pointers, starts = read_index(path.read_bytes())
        flat = np.fromfile(path.with_suffix(".bin"), dtype)
        ids = pq.read_table(path.with_suffix(".parquet"))["id"].to_pylist()
        cut = [(ids[i], flat[p // dtype.itemsize :][:n].tolist()) for i, (p, n) in enumerate(zip(pointers, lengths))]
        found += [cut[low:high] for low, high in itertools.pairwise(starts)]
    return found


def by_hand(rows: list[list[list[int]]], length: int = LENGTH) -> Batch:
    """The batch of rows of pieces, made cell by cell."""
    tokens, labels, weights, positions, bounds = [], [], [], [], [0]
    for row in rows:
        for piece in row:
            tokens += piece
            labels += [*piece[1:], 0]
            weights += [1.0] * (len(piece) - 1) + [0.0]
            positions += range(len(piece))
            bounds.append(len(tokens))
        if missing := -len(tokens) % length if row else length:
            tokens += [0] * missing
            labels += [0] * missing
            weights += [0.0] * missing
            positions += range(missing)
            bounds.append(len(tokens))
    cells = [np.array(a, np.int64).reshape(-1, length) for a in (tokens, labels, positions)]
    shape = np.array(weights, np.float32).reshape(-1, length)
    return Batch(cells[0], cells[1], shape, cells[2], np.array(bounds, np.int32), np.arange(len(rows)))


def assert_same(got: Batch, expected: Batch, but_rows: bool = False) -> None:
    for name in ("tokens", "labels", "weights", "positions", "cu_seqlens", *([] if but_rows else ["rows"])):
        here, there = getattr(got, name), getattr(expected, name)
        assert here.dtype == there.dtype, name
        np.testing.assert_array_equal(here, there, err_msg=name)


def is_held(settings: Data, name: str) -> bool:
    return bool(xxhash.xxh3_64_intdigest(name.encode(), seed=settings.seed) < settings.validation_share * 2**64)


def training_rows(settings: Data, folder: Path) -> list[list[list[int]]]:
    """The stored rows without held-out pieces; those that are empty then are left out."""
    rows = [[tokens for name, tokens in row if not is_held(settings, name)] for row in stored_rows(folder)]
    return [row for row in rows if row]


def test_a_training_row_is_the_stored_row_without_its_held_out_pieces(one):
    corpus = Corpus(data(one))
    expected = training_rows(corpus.data, one)
    assert len(expected) < len(stored_rows(one))  # some are held out whole
    assert_same(corpus.training(np.arange(len(expected))), by_hand(expected))


def test_rows_are_cut_where_data_seq_length_divides_them(one):
    corpus = Corpus(data(one, seq_length=8))
    expected = []
    for row in training_rows(corpus.data, one):
        flat = [(number, token) for number, piece in enumerate(row) for token in piece]
        for low in range(0, len(flat), 8):
            parts = itertools.groupby(flat[low : low + 8], key=lambda cell: cell[0])
            expected.append([[token for _, token in part] for _, part in parts])
    order = corpus.order[0 : len(expected)][1]
    assert sorted(order) == list(range(len(expected)))
    assert (np.diff(order) == 1).mean() < 0.1  # parts of one row are not read one after the other
    assert_same(corpus.training(np.arange(len(expected))), by_hand([expected[row] for row in order], 8))
    assert int(corpus.ends[0][-1]) == len(expected)


def test_rows_are_joined_where_data_seq_length_is_a_multiple(one):
    corpus = Corpus(data(one, seq_length=96))
    expected = []
    stored = stored_rows(one)
    for first in range(0, len(stored), 70):  # joined in a shard
        rows = [[t for n, t in row if not is_held(corpus.data, n)] for row in stored[first : first + 70]]
        rows = [row for row in rows if row]
        expected += [list(itertools.chain(*rows[i : i + 3])) for i in range(0, len(rows), 3)]
    assert_same(corpus.training(np.arange(len(expected))), by_hand(expected, 96))
    assert int(corpus.ends[0][-1]) == len(expected)


@pytest.mark.parametrize("length", [8, 32, 64])
def test_every_token_is_trained_on_or_held_out(one, other, length):
    corpus = Corpus(data(one, other, seq_length=length))
    held = collections.Counter()
    for number in range(corpus.validation_rows):
        batch = corpus.validation(np.array([number]))
        held.update(batch.tokens[batch.tokens > 0].tolist())
    trained = collections.Counter()
    total = sum(int(ends[-1]) for ends in corpus.ends)
    seen = set()
    for position in range(3 * total):  # past an epoch of both
        (which,), (row,) = corpus.order[position : position + 1]
        if (which, row) not in seen:
            seen.add((which, row))
            batch = corpus.training(np.array([position]))
            trained.update(batch.tokens[batch.tokens > 0].tolist())
    assert len(seen) == total
    stored = collections.Counter(t for f in (one, other) for row in stored_rows(f) for _, p in row for t in p)
    tokens = stored.total()
    del stored[0]  # ends of documents, and padding
    assert trained + held == stored
    assert sum(corpus.train_tokens) + int(corpus.held.length.sum()) == tokens
    assert corpus.fill == pytest.approx(sum(corpus.train_tokens) / (total * length))
    assert corpus.validation_fill == pytest.approx(corpus.held.length.sum() / (corpus.validation_rows * length))


def test_validation_rows_hold_the_held_out_pieces_of_all_sets_once(one, other):
    corpus = Corpus(data(one, other))
    expected = [t for f in (one, other) for row in stored_rows(f) for n, t in row if is_held(corpus.data, n)]
    found = []
    for number in range(corpus.validation_rows):
        batch = corpus.validation(np.array([number]))
        pieces = [batch.tokens[0, a:b].tolist() for a, b in itertools.pairwise(batch.cu_seqlens.tolist())]
        if pieces[-1] == [0] * len(pieces[-1]):
            pieces.pop()  # padding, or a document of no words: those are compared by number below
        found += pieces
    assert sorted(p for p in found if len(p) > 1) == sorted(p for p in expected if len(p) > 1)
    assert int(corpus.held.length.sum()) == sum(map(len, expected))
    assert corpus.validation_fill > 0.9
    assert_same(corpus.validation(np.array([EMPTY])), by_hand([[]]), but_rows=True)


def test_ranks_share_the_rows_of_one_rank(one, other):
    settings = data(one, other)
    with Loader(settings, 12, 12) as whole:
        for ranks, micro in ((1, 3), (2, 3), (3, 2), (4, 1), (2, 6)):
            for first in (0, 7, 1000):
                (expected,) = whole.batch(first)
                got = np.zeros_like(expected.tokens)
                for rank in range(ranks):
                    with Loader(settings, 12, micro, rank, ranks) as loader:
                        batches = loader.batch(first)
                    assert len(batches) == 12 // (micro * ranks)
                    for m, batch in enumerate(batches):
                        place = (m * ranks + rank) * micro
                        assert batch.rows.tolist() == list(range(first + place, first + place + micro))
                        got[place : place + micro] = batch.tokens
                np.testing.assert_array_equal(got, expected.tokens)


def test_ranks_share_validation_and_do_equally_much(one):
    settings = data(one, validation_rows=17)
    for ranks, micro in ((1, 4), (2, 2), (2, 4)):
        lists = []
        for rank in range(ranks):
            with Loader(settings, 8, micro, rank, ranks) as loader:
                lists.append(list(loader.validation()))
        assert {len(of_rank) for of_rank in lists} == {3}
        batches = [batch for of_rank in lists for some in of_rank for batch in some]
        assert len(batches) * micro == 24
        rows = [row for batch in batches for row in batch.rows.tolist()]
        assert sorted(rows) == [EMPTY] * 7 + list(range(17))
        for batch in batches:
            assert not batch.weights[batch.rows == EMPTY].any()
            assert (batch.weights[batch.rows != EMPTY].sum(axis=1) > 0).all()


def test_documents_are_those_of_the_rows(one, other):
    settings = data(one, other)
    with Loader(settings, 6, 6) as loader:
        rows = [[[(n, t) for n, t in row if not is_held(settings, n)] for row in stored_rows(f)] for f in (one, other)]
        kept = [[row for row in of_set if row] for of_set in rows]
        for first in (0, 50, 777):
            which, row = loader.corpus.order[first : first + 6]
            expected = [name for i, r in zip(which, row) for name, _ in kept[i][r]]
            assert loader.documents(first) == list(dict.fromkeys(expected))


def test_documents_of_a_cut_row_are_those_of_the_part(one):
    settings = data(one, seq_length=8, validation_share=0)
    cells = [[(n, k) for n, tokens in row for k in tokens] for row in stored_rows(one)]
    parts = [row[i : i + 8] for row in cells for i in range(0, len(row), 8)]
    with Loader(settings, 1, 1) as loader:
        for number, row in enumerate(loader.corpus.order[0:200][1].tolist()):
            assert loader.documents(number) == list(dict.fromkeys(name for name, _ in parts[row]))


def test_a_cluster_stays_on_one_side(one, tmp_path):
    names = [f"d{i}" for i in range(300)]
    clusters = [f"c{i // 10}" for i in range(200)]
    columns = {"id": pa.array(names[:200], pa.large_string()), "cluster": pa.array(clusters, pa.large_string())}
    tables.write_table(str(tmp_path / "clusters.parquet"), pa.table(columns))
    settings = data(one, clusters=str(tmp_path / "clusters.parquet"))
    corpus = Corpus(settings)
    held = {}
    for shard, rows in zip(corpus.sets[0].shards, corpus.rows[0]):
        held |= dict(zip(split.document_ids(shard).to_pylist(), rows.held.tolist()))
    for i, name in enumerate(names):
        assert held[name] == is_held(settings, clusters[i] if i < 200 else name)
    assert 0 < sum(held.values()) < 300


def test_the_split_is_of_documents_whatever_the_shards(one, tmp_path):
    documents = random_documents(300, VOCABULARY, 60, seed=1)
    again = write_shards(tmp_path, documents, 64, VOCABULARY, seed=5)
    sides = []
    for folder in (one, again):
        corpus = Corpus(data(folder))
        ids = [split.document_ids(s).to_pylist() for s in corpus.sets[0].shards]
        sides.append({(n, bool(h)) for names, r in zip(ids, corpus.rows[0]) for n, h in zip(names, r.held)})
    assert sides[0] == sides[1]
    assert len(sides[0]) == 300  # no document on both sides


def test_weights_set_the_shares_of_tokens(one, other):
    corpus = Corpus(data(shards={str(one): 1, str(other): 3}))
    rows = 4000
    which, _ = corpus.order[0:rows]
    tokens = [0, 0]
    for i in (0, 1):
        mean = corpus.train_tokens[i] / int(corpus.ends[i][-1])
        tokens[i] = (which == i).sum() * mean
    assert tokens[1] / tokens[0] == pytest.approx(3, rel=0.01)
    by_tokens = Corpus(data(one, other))
    assert by_tokens.weights == by_tokens.train_tokens
    taken = by_tokens.order.taken(rows)
    epochs = [n / int(ends[-1]) for n, ends in zip(taken, by_tokens.ends)]
    assert epochs[0] == pytest.approx(epochs[1], rel=0.01)
    lines = corpus.describe(1000, 4)
    assert "weight 75.00%" in lines[1]
    assert f"{corpus.order.taken(4000)[1] / int(corpus.ends[1][-1]):.2f} epochs in 1,000 steps" in lines[1]


def test_what_is_read_ahead_is_what_is_read(one):
    with Loader(data(one), 4, 2) as plain, Loader(data(one, prefetch=3), 4, 2) as ahead:
        for first in [0, 4, 8, 12, 100, 104, 0, 8, 4, 4, 10**6]:
            for got, expected in zip(ahead.batch(first), plain.batch(first), strict=True):
                assert_same(got, expected)


def test_errors_of_the_background_surface_at_their_position():
    def read(position: int) -> list[Batch]:
        if position == 6:
            raise ShardError("row 6")
        return [by_hand([[[position]]])]

    ahead = Ahead(read, 3, 2)
    assert ahead.get(2)[0].tokens[0, 0] == 2
    assert ahead.get(4)[0].tokens[0, 0] == 4
    with pytest.raises(ShardError, match="row 6"):
        ahead.get(6)
    assert ahead.get(8)[0].tokens[0, 0] == 8
    ahead.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("loader")]


def test_the_next_batches_are_read_before_they_are_asked_for():
    reads, done = [], threading.Event()

    def read(position: int) -> list[Batch]:
        reads.append(position)
        if position == 30:
            done.set()
        return []

    ahead = Ahead(read, 3, 10)
    ahead.get(0)
    assert done.wait(30)
    assert reads == [0, 10, 20, 30]
    ahead.close()


def test_a_token_over_the_vocabulary_is_named(one, tmp_path):
    shutil.copytree(one, tmp_path / "copy")
    path = tmp_path / "copy/tokens/shard-00000.bin"
    flat = np.fromfile(path, np.uint16)
    flat[5] = VOCABULARY
    storage.write_bytes(str(path), flat.tobytes())
    corpus = Corpus(data(tmp_path / "copy", validation_share=0))
    with pytest.raises(ShardError, match="vocabulary of 500"):
        corpus.training(np.arange(3))
    with pytest.raises(ShardError, match=r"shard-00000.bin is damaged: its checksum"):
        corpus.sets[0].verify()
    Corpus(data(one)).sets[0].verify()


def test_the_fingerprint_names_what_changed(one, other):
    base = Corpus(data(one)).fingerprint
    assert base == Corpus(data(one, prefetch=9, validation_rows=3)).fingerprint
    changes = {
        "sets": data(other),
        "seed": data(one, seed=1),
        "validation_share": data(one, validation_share=0.3),
        "seq_length": data(one, seq_length=64),
    }
    for name, settings in changes.items():
        there = Corpus(settings).fingerprint
        assert name in {key for key in base if base[key] != there[key]}
    assert json.loads(json.dumps(base)) == base


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seq_length": 48}, "data.seq_length 48 neither divides the 32 tokens"),
        ({"shards": {"x": 0}}, "the weight of x is 0"),
        ({"shards": 5}, "data.shards is 5"),
        ({"shards": ["x", "x"]}, "names x twice"),
        ({"shards": ()}, "names no shards"),
        ({"validation_share": 1 - 1e-16}, "has no training row"),
        ({"clusters": "absent.parquet"}, "absent.parquet is missing"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(one, settings, said):
    with pytest.raises((ShardError, SettingsError), match=said) as raised:
        Corpus(data(one, **settings))
    assert "\n" not in str(raised.value)


def test_a_batch_that_ranks_cannot_share_is_refused(one):
    with pytest.raises(SettingsError, match=r"global_batch 10 is no multiple of training.micro_batch 2 x 3"):
        Loader(data(one), 10, 2, 0, 3)
