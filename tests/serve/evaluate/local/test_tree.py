import numpy as np

from serve.evaluate.local.tree import rows


def seen_by(row, place):
    """Positions in the row that a token sees, by its call."""
    call = next(one for one in row.calls if one.start <= place < one.stop)
    spans, mask = call.keys()
    keys = np.concatenate([np.arange(*span) for span in spans])
    return keys[mask[place - call.start]] if mask is not None else keys[keys <= place]


def test_every_token_sees_its_own_sequence_and_nothing_else():
    rng = np.random.default_rng(0)
    sequences = [
        np.concatenate([np.arange(rng.integers(0, 40)), rng.integers(0, 4, rng.integers(1, 160))]) for _ in range(80)
    ]
    found = list(rows(sequences, [1] * len(sequences), 700, 1000))
    assert sorted(n for row in found for n in row.numbers) == list(range(80))
    for row in found:
        for number, places in zip(row.numbers, row.places):
            seen = seen_by(row, int(places[-1]))
            np.testing.assert_array_equal(row.tokens[seen], sequences[number])
            np.testing.assert_array_equal(row.positions[seen], np.arange(len(sequences[number])))


def test_what_answers_share_stands_once():
    question = np.arange(100)
    answers = [np.append(question, [200 + n, 7]) for n in range(4)]
    (row,) = rows(answers, [2] * 4, 2000, 1000)
    assert len(row.tokens) == 100 + 4 * 2


def test_equal_sequences_stand_once():
    (row,) = rows([np.arange(5)] * 3, [1, 2, 3], 2000, 1000)
    assert len(row.tokens) == 5
    assert [one.tolist() for one in row.places] == [[4], [3, 4], [2, 3, 4]]


def test_a_row_ends_at_its_limits():
    apart = [np.full(10, n) for n in range(6)]
    assert [len(one.numbers) for one in rows(apart, [1] * 6, 25, 100)] == [2, 2, 2]
    assert [len(one.numbers) for one in rows(apart, [3] * 6, 1000, 6)] == [2, 2, 2]
    assert [len(one.numbers) for one in rows(apart, [9] * 6, 5, 6)] == [1] * 6
