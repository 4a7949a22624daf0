import numpy as np

from align.batch import Example, TokenSequence
from align.objectives import counts


def sequence(*mask):
    return TokenSequence(np.zeros(len(mask), np.int64), np.array(mask, bool))


PAIR = Example("pair", (sequence(0, 1, 1), sequence(0, 0, 1)), {"margin": 1.0})
RATED = Example("rated", (sequence(0, 1),), {"attributes": np.array([1.0, np.nan, 3.0])})
UNFINISHED = Example("unfinished", (sequence(0, 0, 0, 0),))


def test_what_is_counted():
    assert counts([PAIR, RATED, UNFINISHED], max_tokens=10) == {
        "tokens": 4, "sequences": 4, "pairs": 1, "examples": 3, "attributes": 2, "max_tokens": 40,
    }  # fmt: skip


def test_counts_of_parts_add_up():
    whole = counts([PAIR, RATED, UNFINISHED], 10)
    first, second = counts([PAIR], 10), counts([RATED, UNFINISHED], 10)
    assert {name: first[name] + second[name] for name in whole} == whole
    assert set(counts([]).values()) == {0}


def test_the_first_token_is_nobodys_prediction():
    assert counts([Example("odd", (sequence(1, 1),))])["tokens"] == 1
