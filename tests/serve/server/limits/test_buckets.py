"""Budgets that fill as time goes."""

import pytest

from serve.server.limits.buckets import Bucket


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_minutes_budget_can_be_used_at_once_and_then_as_it_fills():
    clock = Clock()
    bucket = Bucket(6, clock)
    assert [bucket.take(1) for _ in range(6)] == [0.0] * 6
    assert bucket.take(1) == 10.0
    clock.now = 9.0
    assert bucket.take(1) == pytest.approx(1.0)
    clock.now = 10.5
    assert bucket.take(1) == 0.0


def test_no_more_is_saved_up_than_a_minutes_worth():
    clock = Clock()
    bucket = Bucket(60, clock)
    clock.now = 1e6
    assert bucket.take(60) == 0.0
    assert bucket.take(1) == 1.0
    bucket.give_back(1000)
    assert bucket.take(61) > 0


def test_nothing_is_taken_where_there_is_not_enough():
    bucket = Bucket(10, Clock())
    assert bucket.take(11) == pytest.approx(6.0)
    assert bucket.take(10) == 0.0
    assert bucket.take(1) > 0


def test_zero_is_no_limit():
    assert Bucket(0).take(10**9) == 0.0
