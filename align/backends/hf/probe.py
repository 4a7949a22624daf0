"""Two short sequences by which a model shows whether packed rows keep them apart."""

from __future__ import annotations

import numpy as np

from align.batch import Example, TokenSequence


def _example(*tokens: int) -> Example:
    return Example("", (TokenSequence(np.array(tokens, np.int64), np.array([False] + [True] * (len(tokens) - 1))),))


EXAMPLES = (_example(1, 2, 0, 3, 1, 0), _example(2, 1, 3, 0))
