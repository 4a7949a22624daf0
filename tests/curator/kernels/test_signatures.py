"""What holds for every kind of sketch over every kind of shingle, on nasty texts too."""

import itertools

import numpy as np
import pandas as pd
import pytest

from curator import frames, kernels
from curator.errors import SpecError
from curator.kernels import lsh, signatures
from tests import strict_cudf
from tests.curator.kernels.specification import buffers

KINDS = list(itertools.product(signatures.SKETCHES, signatures.SHINGLES))
NASTY = {
    "empty": "",
    "missing": None,
    "white space": " \n\t\u3000\x1c ",
    "no words": "... !!! ???",
    "one word": "a",
    "repeated": "again " * 100_000,
    "not in the basic plane": "𝒜𝒷 𐐀𞤀 😀😀😀 𠀀𠀁 " * 50,
    "Chinese": "中文沒有空格的文字只有標點符號，這裡是另一句話。" * 50,
    "past all words": "\U000f0000\U0010ffff" * 20,
    "nul": "\x00\x00a\x00",
    "shorter than a shingle": "abc def",
    "plain": "the quick brown fox jumps over the lazy dog and runs away from it all " * 30,
}


@pytest.fixture(scope="module")
def text() -> pd.Series:
    return pd.Series(NASTY.values(), index=range(10, 10 + len(NASTY)), dtype="string")


def lists(frame, name="sketch"):
    return frames.column_to_arrow(frame[name]).to_pylist()


@pytest.mark.parametrize(("sketch", "shingles"), KINDS)
def test_nasty_texts_have_sketches_and_those_without_shingles_zeros(text, sketch, shingles):
    frame = kernels.sketches(text, sketch, shingles, 5, 16, 3)
    assert frame.index.equals(text.index)
    kind = "uint64" if sketch == "cudf64" else "uint32"
    assert str(frames.column_to_arrow(frame["sketch"]).type.value_type) == kind
    values = dict(zip(NASTY, lists(frame)))
    assert {len(row) for row in values.values()} == {16}
    without = {name for name, row in values.items() if not any(row)}
    expected = {"empty", "missing"}
    if shingles == "words":
        expected |= {"white space", "no words", "past all words"}
    elif not sketch.startswith("cudf"):
        expected |= {"white space"}
    assert without == expected
    distinct = [tuple(row) for name, row in values.items() if name not in without]
    assert len(set(distinct)) == len(distinct) - (shingles == "words")  # "a" is the only word of two texts


@pytest.mark.parametrize(("sketch", "shingles"), KINDS)
def test_bands_are_hashes_of_the_sketch_and_null_without_shingles(text, sketch, shingles):
    frame = kernels.band_keys(text, sketch, shingles, 5, 4, 4, 3)
    values = lists(kernels.sketches(text, sketch, shingles, 5, 16, 3))
    expected = lsh.band_hashes(np.array(values, np.uint64), 4)
    for band in range(4):
        for row, key, expected_key in zip(values, frame[f"band_{band:02d}"].tolist(), expected[:, band].tolist()):
            assert pd.isna(key) if not any(row) else key == expected_key


@pytest.mark.parametrize(("sketch", "shingles"), KINDS)
def test_a_sketch_depends_on_nothing_but_its_text(text, sketch, shingles):
    offsets, data = buffers(list(NASTY.values()))
    whole, empty = signatures.signatures(offsets, data, sketch, shingles, 5, 112, 0)
    assert whole.flags.c_contiguous
    for row in range(len(NASTY)):
        alone, is_empty = signatures.signatures(offsets[row : row + 2], data, sketch, shingles, 5, 112, 0)
        np.testing.assert_array_equal(alone[0], whole[row])
        assert is_empty[0] == empty[row]
    none, _ = signatures.signatures(*buffers([]), sketch, shingles, 5, 112, 0)
    assert none.shape == (0, 112)


@pytest.mark.parametrize(("sketch", "shingles"), KINDS)
def test_repeating_a_text_changes_nothing_once_all_shingles_are_there(sketch, shingles):
    once, often = (lists(kernels.sketches(pd.Series(["ab " * n]), sketch, shingles, 5, 16, 0)) for n in (50, 5000))
    assert once == often
    other = lists(kernels.sketches(pd.Series(["ba " * 50]), sketch, shingles, 5, 16, 0))
    assert other != once


@pytest.mark.parametrize(("sketch", "shingles"), KINDS)
def test_seeds_give_other_sketches(sketch, shingles):
    plain = pd.Series([NASTY["plain"]])
    first, second = (np.array(lists(kernels.sketches(plain, sketch, shingles, 5, 112, s))) for s in (0, 1))
    assert (first == second).mean() < 0.05


@pytest.mark.parametrize("shingles", signatures.SHINGLES)
def test_shingle_sets_are_sorted_and_distinct(text, shingles):
    sets = lists(kernels.shingle_sets(text, shingles, 5), "shingles")
    assert all(row == sorted(set(row)) for row in sets)
    assert [bool(row) for row in sets] == [any(row) for row in lists(kernels.sketches(text, "fss", shingles, 5, 4, 0))]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sketch": "minhsh"}, "no sketch is called 'minhsh'. Did you mean minhash?"),
        ({"shingles": "letters"}, "no shingles is called 'letters'. Known: words, characters"),
        ({"sketch": "cudf", "width": 1}, "at least 2 wide; 1 was asked for"),
        ({"width": 0}, "at least 1 wide; 0 was asked for"),
        ({"size": 0}, "at least 1 value; 0 were asked for"),
    ],
)
def test_bad_settings_are_refused_in_one_line(change, said):
    given = {"sketch": "fss", "shingles": "words", "width": 5, "size": 8, "seed": 0} | change
    with pytest.raises(SpecError) as caught:
        kernels.sketches(pd.Series(["a b"]), *given.values())
    assert said in str(caught.value)


def test_sketches_of_a_device_frame_are_those_of_the_cpu(text, monkeypatch):
    strict_cudf.install(monkeypatch.setitem)
    device = strict_cudf.Series(text)
    for sketch, shingles in KINDS:
        if shingles == "words" or not sketch.startswith("cudf"):  # the rest is cudf's own, and needs a GPU
            there = kernels.sketches(device, sketch, shingles, 5, 16, 0)
            assert isinstance(there, strict_cudf.DataFrame)
            assert lists(there) == lists(kernels.sketches(text, sketch, shingles, 5, 16, 0))
