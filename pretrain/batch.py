"""What passes from the loader to the engine: rows of tokens with the bounds of their documents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Batch:
    """A micro-batch of `b` rows of `s` tokens.

    A document never sees another: positions begin at 0 in each, `cu_seqlens` bounds attention, and the last
    token of each has no label. Cells after a row's last token are padding: token 0, weight 0, one document
    of their own to the end of the row.
    """

    tokens: np.ndarray  # int64 (b, s)
    labels: np.ndarray  # int64 (b, s): the next token of the same document; 0 where weight is 0
    weights: np.ndarray  # float32 (b, s): 1 where the label counts, else 0
    positions: np.ndarray  # int64 (b, s): in the document
    cu_seqlens: np.ndarray  # int32 (documents + 1,): bounds in the b * s tokens; holds every multiple of s
    rows: np.ndarray  # int64 (b,): which rows of the source these are, for provenance
