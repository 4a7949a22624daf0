"""Rows come out of the range they were dealt to, in order, whoever wrote them and wherever they lie."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pytest

from curator.run.exchange import Exchange, range_of

SCHEMA = pa.schema([("key", pa.uint64()), ("word", pa.large_string()), ("list", pa.large_list(pa.uint64()))])


def table(keys):
    lists = [[int(key), number] for number, key in enumerate(keys)]
    return pa.table([keys, [f"w{key}" for key in keys.tolist()], lists], schema=SCHEMA)


@pytest.fixture(params=["disk", "memory"])
def place(request, tmp_path):
    return str(tmp_path / "exchange") if request.param == "disk" else f"memory://exchange-{uuid.uuid4()}"


@pytest.mark.parametrize("ranges", [1, 7, 70_000])  # more than 65,536 take another sort
def test_every_row_is_in_its_range_in_the_order_of_its_writer(place, ranges):
    if ranges > 7 and place.startswith("memory"):
        pytest.skip("the same sort as on disk, and slow to read")
    rng = np.random.default_rng(0)
    exchange, written = Exchange(place, ranges), []
    for writer in range(3):
        keys = rng.integers(0, 2**64, 50, np.uint64)[rng.integers(0, 50, 400)]
        written.append((keys, range_of(keys, ranges)))
        exchange.write(f"{2 - writer}", table(keys), written[-1][1])
    written.reverse()  # they are read by name
    for number in sorted({0, *np.concatenate([of for _, of in written])[:40].tolist()}):
        expected = pa.concat_tables([table(keys).filter(pa.array(of == number)) for keys, of in written])
        assert exchange.read(number, SCHEMA).equals(expected.combine_chunks()), number


def test_nothing_written_and_nothing_dealt_are_empty_tables(place):
    exchange = Exchange(place, 3)
    assert exchange.read(1, SCHEMA).num_rows == 0
    exchange.write("none", SCHEMA.empty_table(), np.zeros(0, np.int64))
    assert exchange.read(2, SCHEMA).schema == SCHEMA


def test_ranges_are_equal_intervals_of_the_key():
    keys = np.array([0, 2**62 - 1, 2**62, 2**63, 2**64 - 1], np.uint64)
    assert range_of(keys, 4).tolist() == [0, 0, 1, 2, 3]
    assert range_of(keys, 1).tolist() == [0] * 5
