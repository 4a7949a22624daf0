"""Contexts and continuations as tokens, cut as lm-evaluation-harness 0.4.13 cuts them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from serve.errors import EvaluationError
from serve.evaluate.task import Pair, Score, Subject


def encoded(subject: Subject, pairs: Sequence[tuple[str, str]], places: Sequence[str]) -> list[Pair]:
    """Return the tokens of (context, continuation) pairs of text; `places` name them in messages.

    Space at the end of a context is the continuation's. Both are tokenized as one text, and what follows the tokens
    of the context alone is the continuation: a token that spans the border is not scored. A text without context
    follows the subject's prefix token. Raises EvaluationError for a continuation without tokens.
    """
    moved = [_moved(*pair) for pair in pairs]
    texts = dict.fromkeys(text for context, rest in moved if context for text in (context, context + rest))
    tokens = dict(zip(texts, subject.encode(list(texts))))
    bare = dict.fromkeys(rest for context, rest in moved if not context)
    alone = dict(zip(bare, subject.encode(list(bare), special=False)))
    made: list[Pair] = []
    for (context, rest), place in zip(moved, places):
        if context:
            before = tokens[context]
            pair = (before, tokens[context + rest][len(before) :])
        else:
            whole = alone[rest]
            pair = (whole[:1], whole[1:]) if whole[:1] == [subject.prefix] else ([subject.prefix], whole)
        if not pair[0] or not pair[1]:
            raise EvaluationError(f"{place}: {rest!r} has no token of its own after {context[-40:]!r}")
        _refuse_long(subject, len(pair[1]), place)
        made.append(pair)
    return made


def refuse_long(subject: Subject, pairs: Iterable[tuple[tuple[str, str], str]]) -> None:
    """Raise EvaluationError for a continuation longer than the model can read; pairs with their places.

    Only continuations of more bytes than the model has positions are tokenized: a token has a byte at least.
    """
    for pair, place in pairs:
        if len(pair[1].encode()) > subject.positions:
            encoded(subject, [pair], [place])


def _refuse_long(subject: Subject, tokens: int, place: str) -> None:
    if tokens > subject.positions:
        raise EvaluationError(
            f"{place}: an answer has {tokens} tokens; {subject.name} has {subject.positions} positions"
        )


def scored(subject: Subject, pairs: Sequence[Pair], places: Sequence[str]) -> list[Score]:
    """Return the subject's scores of pairs. Raises EvaluationError, with the item's place, for one that is no number.

    Weights of NaN, or logits beyond a narrow type, give such: a result of them would say nothing.
    """
    found = subject.loglikelihoods(pairs)
    for (score, _), place in zip(found, places):
        if not math.isfinite(score):
            raise EvaluationError(
                f"{place}: {subject.name} gives a log-probability of {score}: its weights, or what its type makes of "
                "them, are no numbers"
            )
    return found


def truncated(subject: Subject, pair: Pair) -> bool:
    """Tell whether a context loses its first tokens: the last token of all is never read, only predicted."""
    return len(pair[0]) + len(pair[1]) > subject.positions + 1


def _moved(context: str, rest: str) -> tuple[str, str]:
    bare = context.rstrip()
    return bare, context[len(bare) :] + rest
