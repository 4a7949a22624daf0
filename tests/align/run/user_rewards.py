"""Functions a user might give as rewards, right and wrong."""

from __future__ import annotations

import math
import threading

from align.rewards.reward import Completion


def good(completion: Completion) -> float:
    return float(len(completion.tokens))


def no_number(completion: Completion) -> float:
    return math.nan


def raises(completion: Completion) -> float:
    raise KeyError("answer")


def hangs(completion: Completion) -> float:
    threading.Event().wait()
    return 0.0
