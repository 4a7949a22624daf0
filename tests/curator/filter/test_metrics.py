"""Metrics of a classifier, against their definitions spelt out document by document."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.filter import metrics

SCORED = st.lists(st.tuples(st.sampled_from([0.0, 0.05, 0.1, 0.5, 0.73, 1.0]), st.booleans()), min_size=2).filter(
    lambda rows: len({positive for _, positive in rows}) == 2
)


def arrays(rows):
    return np.array([score for score, _ in rows]), np.array([positive for _, positive in rows])


@given(SCORED)
def test_roc_auc_is_the_share_of_pairs_in_order(rows):
    good, bad = ([score for score, positive in rows if positive is side] for side in (True, False))
    pairs = [1.0 if g > b else 0.5 if g == b else 0.0 for g in good for b in bad]
    assert metrics.roc_auc(*arrays(rows)) == pytest.approx(sum(pairs) / len(pairs))


@given(SCORED)
def test_average_precision_is_the_mean_over_positives(rows):
    def precision(threshold):
        kept = [positive for score, positive in rows if score >= threshold]
        return sum(kept) / len(kept)

    found = [precision(score) for score, positive in rows if positive]
    assert metrics.average_precision(*arrays(rows)) == pytest.approx(sum(found) / len(found))


def test_thresholds_and_calibration_by_hand():
    scores, positive = arrays([(0.05, False), (0.95, False), (0.91, True), (0.5, True), (1.0, True)])
    assert metrics.at_threshold(scores, positive, 0.6) == {
        "threshold": 0.6, "precision": 2 / 3, "recall": 2 / 3, "kept_negative": 0.5,
    }  # fmt: skip
    assert metrics.at_threshold(scores, positive, 1.1)["precision"] is None
    tenths = metrics.calibration(scores, positive)
    assert [(row["from"], row["documents"], row["positive_share"]) for row in tenths] == [
        (0.0, 1, 0.0), (0.5, 1, 1.0), (0.9, 3, 2 / 3),
    ]  # fmt: skip
    assert tenths[2]["mean_score"] == pytest.approx((0.95 + 0.91 + 1) / 3)
