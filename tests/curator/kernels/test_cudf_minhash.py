"""Sketches as cudf makes them: the numbers of its own tests and documentation, and plain Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels import cudf_minhash, signatures
from tests.curator.kernels import specification
from tests.curator.kernels.specification import buffers, cudf_windows, words_of
from tests.curator.kernels.test_characters import spaced
from tests.curator.kernels.test_sketch import documents

KINDS = {32: np.uint32, 64: np.uint64}
# The texts, term lists and values of libcudf 26.10's minhash tests.
TEXTS = [
    *("doc 1", "this is doc 2", "doc 3", "d"),
    "The quick brown fox jumpéd over the lazy brown dog.",
    *("line six", "line seven"),
]
TERMS = [
    ["The", "quick", "brown", "fox", "jumpéd", "over", "the", "lazy", "brown", "dog."],
    ["The", "quick", "brown", "fox", "jumpéd", "over", "the", "lazy", "", "dog."],
    ["short", "row"],
]
TEXTS32 = [
    [1392101586, 394869177, 811528444],
    [211415830, 187088503, 130291444],
    [2098117052, 394869177, 799753544],
    [2264583304, 2920538364, 3576493424],
    [253327882, 41747273, 302030804],
    [2109809594, 1017470651, 326988172],
    [1303819864, 850676747, 147107852],
]
TEXTS64 = [
    [827364888116975697, 1601854279692781452, 70500662054893256],
    [18312093741021833, 133793446674258329, 21974512489226198],
    [22474244732520567, 1638811775655358395, 949306297364502264],
    [1332357434996402861, 2157346081260151330, 676491718310205848],
    [65816830624808020, 43323600380520789, 63511816333816345],
    [629657184954525200, 49741036507643002, 97466271004074331],
    [301611977846331113, 101188874709594830, 97466271004074331],
]
TERMS32 = [
    [230924604, 55492793, 963436400],
    [230924604, 367515795, 963436400],
    [2380648568, 1330223236, 279797904],
]
TERMS64 = [
    [208926840193078200, 576399628675212695, 312927673584437419],
    [677038498284219393, 326338087730412201, 298455901014050223],
    [1493265692486268500, 720255058049417768, 2253087432826260995],
]


def made(bits, a, b, seed=0):
    return np.array(a, KINDS[bits]), np.array(b, KINDS[bits]), KINDS[bits](seed)


def of_texts(texts, width, parameters):
    values, _ = cudf_minhash.sketch(*buffers(texts), True, width, parameters)
    return values.tolist()


def of_terms(terms, n, bits, a, b, seed=0):
    """Sketch a list of any terms, as cudf takes them, with the kernels that sketch our words."""
    joined = "".join(terms).encode()
    ends = np.cumsum([0, *(len(term.encode()) for term in terms)])
    text = np.frombuffer(joined + b"\xff" * 64, np.uint8).copy()
    hashes = np.empty(len(terms) + 8, KINDS[bits])
    a, b, seed = made(bits, a, b, seed)
    a, b = (cudf_minhash.padded(parameter) for parameter in (a, b))
    out = np.empty(a.size, KINDS[bits])
    windows, least = (
        (cudf_minhash.hash_windows32, cudf_minhash.minima)
        if bits == 32
        else (cudf_minhash.hash_windows64, cudf_minhash.minima64)
    )
    count = windows(text, ends.astype(np.uint32), len(terms), n + 1, seed, hashes)
    least(hashes, count, a, b, out)
    return out.tolist()


@pytest.mark.parametrize(("bits", "expected"), [(32, TEXTS32), (64, TEXTS64)])
def test_the_numbers_of_cudfs_tests_of_characters(bits, expected):
    assert of_texts(TEXTS, 4, made(bits, [10, 11, 12], [10, 11, 12])) == expected


@pytest.mark.parametrize(("bits", "expected"), [(32, TERMS32), (64, TERMS64)])
def test_the_numbers_of_cudfs_tests_of_terms(bits, expected):
    """A window of "4 terms" holds 5."""
    assert [of_terms(terms, 4, bits, [10, 11, 12], [10, 11, 12])[:3] for terms in TERMS] == expected


def test_the_number_of_cudfs_test_of_a_wide_row():
    wide = made(32, [20, 21, 22], [20, 21, 22])
    assert of_texts(["y" * (2 << 19)], 4, wide) == [[1293098788, 2860992281, 133918478]]


def test_the_numbers_of_cudfs_documentation():
    assert of_texts(["this is my", "favorite book"], 5, made(32, [1, 2, 3], [4, 5, 6])) == [
        [1305480171, 462824409, 74608232],
        [32665388, 65330773, 97996158],
    ]
    assert of_texts(["this is my", "favorite book", "to read"], 5, made(64, [2, 3], [5, 6])) == [
        [172452388517576012, 316595762085180527],
        [71427536958126239, 58787297728258215],
        [423885828176437114, 1140588505926961370],
    ]
    terms = [["this", "is", "my"], ["favorite", "book"]]
    assert [of_terms(row, 2, 32, [1, 2, 3], [4, 5, 6])[:3] for row in terms] == [
        [416367551, 832735099, 1249102647],
        [1906668704, 3813337405, 1425038810],
    ]
    assert [of_terms(row, 2, 64, [2, 3], [5, 6])[:2] for row in terms] == [
        [1304293339825194559, 1956440009737791829],
        [472203876238918632, 1861227318965224922],
    ]


@given(
    st.one_of(documents, st.lists(spaced, max_size=4), st.lists(st.text(), max_size=4)),
    st.sampled_from(["cudf", "cudf64"]),
    st.sampled_from(["words", "characters"]),
    st.sampled_from([1, 7, 112]),
    st.integers(2, 26),
    st.integers(0, 2**32 - 1),
)
def test_sketches_are_those_of_the_specification(texts, sketch, shingles, size, width, seed):
    bits = 64 if sketch == "cudf64" else 32
    values, empty = signatures.signatures(*buffers(texts), sketch, shingles, width, size, seed)
    assert values.dtype == KINDS[bits]
    a, b, murmur_seed = (parameter.tolist() for parameter in cudf_minhash.parameters(size, seed, bits))
    for text, row, is_empty in zip(texts, values.tolist(), empty, strict=True):
        windows = cudf_windows(text, width) if shingles == "characters" else cudf_windows(words_of(text), width + 1)
        assert is_empty == (not windows)
        assert row == specification.cudf_minhash(windows, a, b, murmur_seed, bits)


@pytest.mark.parametrize("bits", [32, 64])
def test_long_plain_and_mixed_texts_and_large_parameters(bits):
    rng = np.random.default_rng(0)
    plain = "".join(map(chr, rng.integers(32, 127, 3000)))
    texts = [plain, plain[:1500] + "é" + plain[1500:], "é" * 30 + "😀" * 30, plain[: 512 + 23], plain[:24], "\x00" * 90]
    a, b = (rng.integers(0, 2**bits, 5, dtype=KINDS[bits]) for _ in range(2))
    seed = 2**bits - 3
    for width in (2, 3, 4, 5, 24, 25, 26, 27, 600):
        expected = [
            specification.cudf_minhash(cudf_windows(text, width), a.tolist(), b.tolist(), seed, bits) for text in texts
        ]
        assert of_texts(texts, width, made(bits, a, b, seed)) == expected


def test_parameters_are_those_of_nemo_curator():
    """The Mersenne Twister of seed 42 begins with the 32-bit numbers 1608637542 and 1273642419."""
    a, b, seed = cudf_minhash.parameters(2, 42, 32)
    assert (a.tolist(), b.tolist()) == ([1608637543, 1935803229], [1273642419, 787846414])
    assert (seed, seed.dtype) == (1608637543, np.uint32)
    a, b, seed = cudf_minhash.parameters(2, 42, 64)
    assert (a.tolist(), b.tolist()) == (
        [2297359619001564596, 1973689801170867272],
        [1396682528897996046, 1819927849474927636],
    )
    assert (seed, seed.dtype) == (2297359619001564596, np.uint64)
