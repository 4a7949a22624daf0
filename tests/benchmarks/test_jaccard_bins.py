"""Judging a deduplication by Jaccard bin, on corpora small enough to see."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import dedup_quality, jaccard_bins
from benchmarks.jaccard_bins import LABELS, Pairs


def pairs(*given):
    a, b, jaccard = zip(*given, strict=True)
    return Pairs(np.array(a), np.array(b), np.array(jaccard), np.array(["subst"] * len(a)))


def kept(rows, *removed):
    stays = np.ones(rows, bool)
    stays[list(removed)] = False
    return stays


def test_a_bin_holds_its_lower_edge():
    found = jaccard_bins.bin_of(np.array([0, 0.4999, 0.5, 0.69, 0.7, 4 / 5, 0.9, 0.9999, 1]))
    assert [LABELS[i] for i in found] == [
        "below 0.5", "below 0.5", "0.5 to 0.6", "0.6 to 0.7", "0.7 to 0.8", "0.8 to 0.9", "0.9 to 1", "0.9 to 1", "1"
    ]  # fmt: skip


def test_a_pair_is_found_where_not_both_were_kept():
    known = pairs((0, 1, 0.85), (2, 3, 0.85), (4, 5, 1.0), (0, 2, 0.55))
    shares = dict(zip(LABELS, jaccard_bins.shares(known, kept(6, 1, 4, 5)), strict=True))
    assert shares["0.8 to 0.9"] == "0.5000"
    assert shares["1"] == "1.0000"
    assert shares["0.5 to 0.6"] == "0.0000"
    assert shares["0.7 to 0.8"] == ""
    assert dict(zip(LABELS, jaccard_bins.counts(known), strict=True))["0.8 to 0.9"] == "2"


def test_a_removal_counts_in_the_bin_of_its_best_partner_that_was_kept():
    known = pairs((0, 1, 0.95), (1, 2, 0.75), (1, 3, 0.6))
    where = dict(zip(LABELS, jaccard_bins.removals(known, kept(5, 1)), strict=True))
    assert where == {**dict.fromkeys(LABELS, 0), "0.9 to 1": 1}
    where = dict(zip(LABELS, jaccard_bins.removals(known, kept(5, 0, 1)), strict=True))
    assert where == {**dict.fromkeys(LABELS, 0), "0.7 to 0.8": 1, "below 0.5": 1}  # 0 has lost its only partner
    assert sum(jaccard_bins.removals(known, kept(5, 4))) == 1


def test_a_cluster_is_lost_where_nothing_of_it_was_kept():
    known = pairs((0, 1, 0.95), (1, 2, 0.85), (3, 4, 1.0), (2, 3, 0.7))
    assert jaccard_bins.clusters_lost(known, kept(6)) == (0, 2)
    assert jaccard_bins.clusters_lost(known, kept(6, 0, 1, 2)) == (1, 2)  # what is left, 3, is alike in 0.7 only
    assert jaccard_bins.clusters_lost(known, kept(6, 0, 1, 3, 5)) == (0, 2)


def test_clusters_are_those_of_a_plain_walk():
    choose = random.Random(0)
    for _ in range(20):
        edges = [(*sorted(choose.sample(range(40), 2)), 0.9) for _ in range(choose.randint(1, 40))]
        groups = {row: {row} for row in range(40)}
        for a, b, _ in edges:
            joined = groups[a] | groups[b]
            groups.update(dict.fromkeys(joined, joined))
        assert jaccard_bins.clusters(pairs(*edges), 40).tolist() == [min(groups[row]) for row in range(40)]


def test_known_pairs_are_read_by_id_and_those_cut_away_are_left_out(tmp_path):
    corpus = pa.table({"id": [30, 10, 20], "text": ["", "", ""]})
    rows = {"copy_id": [10, 40], "source_id": [20, 10], "edit_kind": ["subst", "exact"], "jaccard_word5": [0.5, 1.0]}
    pq.write_table(pa.table(rows), tmp_path / "truth.parquet")
    known = jaccard_bins.read_pairs(corpus, tmp_path / "truth.parquet", "copy_id", "source_id")
    assert (known.a.tolist(), known.b.tolist(), known.kind.tolist()) == ([1], [2], ["subst"])


def test_precision_is_the_share_of_removals_with_a_kept_partner_at_the_threshold():
    known = pairs((0, 1, 0.8), (2, 3, 0.79), (4, 5, 1.0))
    chosen = {"right": kept(6, 1, 5), "half": kept(6, 1, 3), "wrong": kept(6, 3)}
    lines = dedup_quality.by_partner(known, chosen).splitlines()[2:]
    assert [line.split(" | ")[2] for line in lines] == ["100.00 %", "50.00 %", "0.00 %"]


def test_a_witness_that_was_dropped_or_does_not_suffice_ends_the_benchmark():
    known = pairs((0, 1, 0.9), (1, 2, 0.7), (0, 3, 0.9))
    assert dedup_quality.kept_rows({"removed": [1], "witness": [0]}, 4, known).tolist() == [True, False, True, True]
    assert dedup_quality.kept_rows({"removed": [2]}, 4, known).tolist() == [True, True, False, True]
    for removed, witness in (([2], [1]), ([1, 0], [0, 3]), ([1, 3], [3, 0])):
        with pytest.raises(SystemExit):
            dedup_quality.kept_rows({"removed": removed, "witness": witness}, 4, known)
