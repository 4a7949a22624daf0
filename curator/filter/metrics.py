"""How well scores in [0, 1] tell positive from negative documents.

scores: float (documents,); positive: bool (documents,), some of each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

THRESHOLDS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
BINS = 10


def evaluate(scores: np.ndarray, positive: np.ndarray) -> dict[str, Any]:
    """Return all of them as plain numbers, for a JSON file."""
    return {
        "documents": len(scores),
        "positive": int(positive.sum()),
        "roc_auc": roc_auc(scores, positive),
        "average_precision": average_precision(scores, positive),
        "thresholds": [at_threshold(scores, positive, threshold) for threshold in THRESHOLDS],
        "calibration": calibration(scores, positive),
    }


def roc_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the chance that a positive document scores above a negative one; a tie counts half."""
    low, high = (np.searchsorted(np.sort(scores[~positive]), scores[positive], side) for side in ("left", "right"))
    return float((low.sum() + high.sum()) / (2 * positive.sum() * (~positive).sum()))


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Return the precision averaged over the positive documents, each at its own score as threshold."""
    kept = len(scores) - np.searchsorted(np.sort(scores), scores[positive])
    right = positive.sum() - np.searchsorted(np.sort(scores[positive]), scores[positive])
    return float(np.mean(right / kept))


def at_threshold(scores: np.ndarray, positive: np.ndarray, threshold: float) -> dict[str, Any]:
    """Return what keeping scores of at least `threshold` keeps; precision is null where that is nothing."""
    kept = scores >= threshold
    right = int((kept & positive).sum())
    return {
        "threshold": threshold,
        "precision": right / int(kept.sum()) if kept.any() else None,
        "recall": right / int(positive.sum()),
        "kept_negative": int((kept & ~positive).sum()) / int((~positive).sum()),
    }


def calibration(scores: np.ndarray, positive: np.ndarray) -> list[dict[str, Any]]:
    """Return, for each tenth of the scores that holds any, mean score and share of positive documents."""
    place = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    bins = [(number, place == number) for number in range(BINS) if (place == number).any()]
    return [
        {
            "from": number / BINS,
            "to": (number + 1) / BINS,
            "documents": int(inside.sum()),
            "mean_score": float(scores[inside].mean(dtype=np.float64)),
            "positive_share": float(positive[inside].mean()),
        }
        for number, inside in bins
    ]
