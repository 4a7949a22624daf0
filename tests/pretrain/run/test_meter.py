"""The stopwatch of a step."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain.run.meter import Meter, memory_bytes

seconds = st.floats(0.001, 100)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


def spend(meter: Meter, clock: Clock, part: str, for_seconds: float) -> None:
    with meter.spending(part):  # type: ignore[arg-type]
        clock.now += for_seconds


@given(data=seconds, train=seconds, save=seconds, other=seconds, tokens=st.integers(1, 10**7))
def test_parts_and_what_is_left_make_up_the_seconds(data, train, save, other, tokens):
    clock = Clock()
    meter = Meter(6e9, 1e12, 4, clock)
    spend(meter, clock, "data", data)
    spend(meter, clock, "train", train / 2)
    clock.now += other
    spend(meter, clock, "train", train / 2)
    spend(meter, clock, "save", save)
    read = meter.step(tokens)
    assert read.seconds == pytest.approx(data + train + save + other)
    assert (read.data_seconds, read.train_seconds) == pytest.approx((data, train))
    assert (read.save_seconds, read.validation_seconds) == pytest.approx((save, 0.0))
    assert read.tokens_per_second == pytest.approx(tokens / (data + train))
    assert read.mfu == pytest.approx(6e9 * tokens / (data + train) / 4e12)


def test_each_reading_begins_anew():
    clock = Clock()
    meter = Meter(1.0, None, 1, clock)
    spend(meter, clock, "train", 2.0)
    spend(meter, clock, "save", 1.0)
    meter.step(10)
    spend(meter, clock, "train", 4.0)
    read = meter.step(10)
    assert (read.seconds, read.train_seconds, read.save_seconds, read.mfu) == (4.0, 4.0, 0.0, None)


def test_a_block_that_raises_is_counted():
    clock = Clock()
    meter = Meter(1.0, None, 1, clock)

    def save() -> None:
        with meter.spending("save"):
            clock.now += 3.0
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save()
    assert meter.step(0).save_seconds == 3.0


def test_memory_is_the_most_this_process_held():
    before = memory_bytes("cpu")
    held = bytearray(before + 50_000_000)  # more than the most so far, whatever is free of it
    held[::4096] = b"x" * len(held[::4096])
    assert memory_bytes("cpu") >= len(held)
