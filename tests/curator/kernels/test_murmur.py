"""MurmurHash3 equals plain Python, and numbers published with it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.kernels.murmur import PADDING, murmur32, murmur64
from tests.curator.kernels import specification


def padded(data, before=0):
    return np.frombuffer(b"\xff" * before + data + b"\xff" * PADDING, np.uint8)


@given(st.binary(max_size=70), st.integers(0, 9), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_against_plain_python(data, before, seed32, seed64):
    buffer = padded(data, before)
    assert murmur32(buffer, before, len(data), np.uint32(seed32)) == specification.murmur32(data, seed32)
    assert murmur64(buffer, before, len(data), np.uint64(seed64)) == specification.murmur128(data, seed64)[0]


@pytest.mark.parametrize(
    ("text", "seed", "expected"),
    [
        ("", 0, 0),
        ("", 1, 0x514E28B7),
        ("", 0xFFFFFFFF, 0x81F16F39),
        ("test", 0, 0xBA6BD213),
        ("Hello, world!", 0, 0xC0363E43),
        ("The quick brown fox jumps over the lazy dog", 0, 0x2E4FF723),
        ("The quick brown fox jumps over the lazy dog", 0x9747B28C, 0x2FA826CD),
    ],
)
def test_published_numbers_of_32_bits(text, seed, expected):
    assert murmur32(padded(text.encode()), 0, len(text), np.uint32(seed)) == expected
    assert specification.murmur32(text.encode(), seed) == expected


@pytest.mark.parametrize("bits", [32, 128])
def test_the_verification_value_of_the_reference_suite(bits):
    """SMHasher: hash {0, 1, ..., n - 1} with seed 256 - n for each n < 256; hash all the hashes."""
    hashed = b""
    for n in range(256):
        if bits == 32:
            hashed += specification.murmur32(bytes(range(n)), 256 - n).to_bytes(4, "little")
        else:
            hashed += b"".join(h.to_bytes(8, "little") for h in specification.murmur128(bytes(range(n)), 256 - n))
    if bits == 32:
        assert specification.murmur32(hashed, 0) == 0xB0F57EE3
    else:
        assert specification.murmur128(hashed, 0)[0] & 0xFFFFFFFF == 0x6384BA69
