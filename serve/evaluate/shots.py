"""Which solved examples stand before a question: the same ones lm-evaluation-harness 0.4.13 draws for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeVar

from serve.errors import EvaluationError

T = TypeVar("T")
Order = Literal["random", "first"]


def drawn(
    task: str, questions: Sequence[Any], pool: Sequence[Any], shots: int, seed: int, order: Order, same: bool
) -> Iterator[list[Any]]:
    """Yield, question by question, which of the pool stand before it.

    random: each question draws anew from one generator, without replacement; first: the pool's first ones. same: the
    questions are of the pool's own file, so that one more is drawn, and the question left out where it came up.
    Raises EvaluationError where the pool is too small.
    """
    needed = shots + same
    if shots and needed > len(pool):
        raise EvaluationError(f"{task}.shots is {shots}, but examples hold {len(pool)}; {needed} are needed")
    dice = random.Random(seed)
    for question in questions:
        if not shots:
            yield []
        elif order == "first":
            yield [one for one in pool if not same or one != question][:shots]
        else:
            found = [one for one in dice.sample(pool, needed) if not same or one != question][:shots]
            if len(found) < shots:  # the question stands in the pool more than once
                found = dice.sample([one for one in pool if one != question], shots)
            yield found
