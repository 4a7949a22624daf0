"""Machine operations that Numba has no words for, and the two mixers every hash here is built of."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic

BLOCK = 64  # bytes that `bits_above` looks at in one step
FACTOR, FACTOR2, FACTOR3, FACTOR4 = (np.uint64(pow(0x9E3779B97F4A7C15, n, 1 << 64)) for n in (1, 2, 3, 4))
Kernel = TypeVar("Kernel", bound=Callable[..., Any])


def compiled(function: Kernel) -> Kernel:
    """Compile a function on its first call; it releases the GIL and is cached on disk.

    Numba's cache notices a change in the function's own file only, not in those it calls into, which
    would be stale bits; so the stamp that its entries are kept under is that of all kernel sources.
    """
    return _compiled(function)


def borrowing(function: Kernel) -> Kernel:
    """Compile a small function that only compiled ones call, which makes no array and keeps none.

    It counts no references to its arrays. Numba would, two atomic steps an array and call: more than such a
    function does, where tuples of tables are handed down.
    """
    return _compiled(function, _nrt=False)


def _compiled(function: Kernel, **options: bool) -> Kernel:
    version: Any = njit(nogil=True, cache=True, error_model="numpy", **options)(function)
    version._cache._cache_file._source_stamp = _sources()
    made: Kernel = version
    return made


@functools.cache
def _sources() -> str:
    """Return a digest of every kernel's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@intrinsic
def load64(context: Any, array: Any, position: Any) -> tuple[Any, Callable[..., Any]]:
    """Read the 8 bytes from array[position] as a little-endian uint64, at any alignment."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        load = builder.load(_pointer(target, builder, signature, arguments, ir.IntType(64)))
        load.align = 1
        return load

    return types.uint64(array, types.int64), generate


@intrinsic
def bits_above(context: Any, array: Any, position: Any, limit: Any) -> tuple[Any, Callable[..., Any]]:
    """Compare the 64 bytes from array[position] with `limit`: bit i tells array[position + i] > limit."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), BLOCK)
        load = builder.load(_pointer(target, builder, signature, arguments, vector))
        load.align = 1
        return builder.bitcast(builder.icmp_unsigned(">", load, _spread(builder, arguments[2])), ir.IntType(64))

    return types.uint64(array, types.int64, types.uint8), generate


@intrinsic
def bits_within(
    context: Any, array: Any, position: Any, fold: Any, low: Any, high: Any
) -> tuple[Any, Callable[..., Any]]:
    """Compare the 64 bytes from array[position], or-ed with `fold`: bit i tells low <= byte i <= high."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        load = builder.load(_pointer(target, builder, signature, arguments, ir.VectorType(ir.IntType(8), BLOCK)))
        load.align = 1
        folded = builder.or_(load, _spread(builder, arguments[2]))
        above = builder.sub(folded, _spread(builder, arguments[3]))
        widest = _spread(builder, builder.sub(arguments[4], arguments[3]))
        return builder.bitcast(builder.icmp_unsigned("<=", above, widest), ir.IntType(64))

    return types.uint64(array, types.int64, types.uint8, types.uint8, types.uint8), generate


@intrinsic
def store64(context: Any, array: Any, position: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """Write a uint64, little-endian, to the 8 bytes from array[position], at any alignment."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _pointer(target, builder, signature, arguments, ir.IntType(64))
        builder.store(arguments[2], place).align = 1
        return target.get_dummy_value()

    return types.void(array, types.int64, types.uint64), generate


@intrinsic
def copy_block(context: Any, source: Any, start: Any, target: Any, position: Any) -> tuple[Any, Callable[..., Any]]:
    """Copy the 64 bytes from source[start] to target[position]."""

    def generate(machine: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), BLOCK)
        load = builder.load(_pointer(machine, builder, signature, arguments, vector))
        load.align = 1
        array = machine.make_array(signature.args[2])(machine, builder, arguments[2])
        place = builder.bitcast(builder.gep(array.data, [arguments[3]]), vector.as_pointer())
        builder.store(load, place).align = 1
        return machine.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), generate


@intrinsic
def lower_block(context: Any, source: Any, start: Any, target: Any, position: Any) -> tuple[Any, Callable[..., Any]]:
    """Copy the 64 bytes from source[start] to target[position], A to Z as a to z."""

    def generate(machine: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        vector = ir.VectorType(ir.IntType(8), BLOCK)
        load = builder.load(_pointer(machine, builder, signature, arguments, vector))
        load.align = 1
        upper, case, letters = (ir.Constant(vector, [number] * BLOCK) for number in (65, 32, 26))
        capital = builder.icmp_unsigned("<", builder.sub(load, upper), letters)
        array = machine.make_array(signature.args[2])(machine, builder, arguments[2])
        place = builder.bitcast(builder.gep(array.data, [arguments[3]]), vector.as_pointer())
        builder.store(builder.select(capital, builder.or_(load, case), load), place).align = 1
        return machine.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), generate


@intrinsic
def leading_zeros(context: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """Count the zero bits above the highest one bit of a uint64; 64 for 0."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctlz(arguments[0], ir.IntType(1)(0))

    return types.int64(types.uint64), generate


@intrinsic
def trailing_zeros(context: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """Count the zero bits below the lowest one bit of a uint64; 64 for 0."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.IntType(1)(0))

    return types.int64(types.uint64), generate


@intrinsic
def ones(context: Any, value: Any) -> tuple[Any, Callable[..., Any]]:
    """Count the one bits of a uint64."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def fold_multiply(context: Any, a: Any, b: Any) -> tuple[Any, Callable[..., Any]]:
    """Multiply two uint64 to 128 bits and xor the halves: the mixing step of wyhash."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        high = builder.lshr(product, ir.Constant(wide, 64))
        return builder.trunc(builder.xor(product, high), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def multiply_61(context: Any, a: Any, b: Any) -> tuple[Any, Callable[..., Any]]:
    """Multiply two uint64 below the prime 2**61 - 1, modulo that prime."""

    def generate(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, prime = ir.IntType(128), ir.Constant(ir.IntType(64), (1 << 61) - 1)
        product = builder.mul(*(builder.zext(argument, wide) for argument in arguments))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 61)), ir.IntType(64))
        total = builder.add(builder.and_(builder.trunc(product, ir.IntType(64)), prime), high)
        return builder.select(builder.icmp_unsigned(">=", total, prime), builder.sub(total, prime), total)

    return types.uint64(types.uint64, types.uint64), generate


def _spread(builder: Any, byte: Any) -> Any:
    """Return a block of 64 equal bytes."""
    empty = ir.Constant(ir.VectorType(ir.IntType(8), BLOCK), ir.Undefined)
    first = builder.insert_element(empty, byte, ir.IntType(32)(0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(ir.IntType(32), BLOCK), [0] * BLOCK))


def _pointer(target: Any, builder: Any, signature: Any, arguments: Any, element: Any) -> Any:
    """Point at arguments[0][arguments[1]], a byte array's element, as the type `element`."""
    array = target.make_array(signature.args[0])(target, builder, arguments[0])
    return builder.bitcast(builder.gep(array.data, [arguments[1]]), element.as_pointer())


@compiled
def mix64(x: np.uint64) -> np.uint64:
    """Mix all bits into all bits: fmix64 of MurmurHash3."""
    x = np.uint64((x ^ (x >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD))
    x = np.uint64((x ^ (x >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53))
    return np.uint64(x ^ (x >> np.uint64(33)))


@compiled
def mix32(x: np.uint32) -> np.uint32:
    """Mix all bits into all bits: fmix32 of MurmurHash3. Every step is cast, for Numba widens."""
    x = np.uint32(np.uint32(x ^ np.uint32(x >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    x = np.uint32(np.uint32(x ^ np.uint32(x >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(x ^ np.uint32(x >> np.uint32(16)))


@compiled
def hash_inside(text: np.ndarray, start: int, stop: int) -> np.uint64:
    """Hash text[start:stop], never 0, reading no byte outside it: by four at a time, which wait for one product."""
    value = np.uint64(stop - start)
    i = start
    while i + 4 <= stop:
        high = np.uint64(text[i]) * FACTOR3 + np.uint64(text[i + 1]) * FACTOR2
        value = value * FACTOR4 + (high + np.uint64(text[i + 2]) * FACTOR + np.uint64(text[i + 3]))
        i += 4
    while i < stop:
        value = value * FACTOR + np.uint64(text[i])
        i += 1
    return np.uint64(mix64(value) | np.uint64(1))
