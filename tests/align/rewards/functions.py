"""Reward functions as users write them, good and bad."""

from __future__ import annotations

import os
import time

import numpy as np

from align.rewards.reward import Completion


def words(completion: Completion) -> float:
    print("this goes to standard error, not between the messages")
    return len(completion.text.split())


def numpy_number(completion: Completion) -> np.float32:
    return np.float32(completion.tokens.sum())


def told(completion: Completion) -> object:
    """Do what the record says."""
    what = completion.task.get("do")
    if what == "raise":
        raise KeyError("no such\nsecond line")
    if what == "hang":
        time.sleep(600)
    if what == "end":
        os._exit(7)
    if what == "leave":
        raise SystemExit("bye")
    return {"nan": float("nan"), "inf": float("inf"), "none": None, "text": "high", "list": [1.0]}.get(str(what), 1.0)


not_a_function = 3
