"""What lies between the matrix products, on a CPU in float32: compiled, in place, one row after another.

Every row is computed by the same operations in the same order, whatever rows are beside it and however its sequence
was cut into steps and blocks: with matrix products that are so too (serve.engine.linear), a request gives the same
bits in any company. Attention reads keys and values where they lie, and no further than a sequence has got.
"""

from __future__ import annotations

import numpy as np

from serve.engine.compiled import compiled, inlined

# exp by 2^n p(r): n = round(x / ln 2), r the rest, p the polynomial of Cephes' expf; relative error under 2e-7.
_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
_ONE, _HALF, _LOWEST, _HIGHEST = np.float32(1), np.float32(0.5), np.float32(-87.0), np.float32(88.0)


@inlined
def _two_to(power: float) -> float:  # pragma: no cover
    """Return float32 2^power of a whole float32 from -126 to 127, by its exponent bits."""
    return np.int32((np.int32(power) + 127) << 23).view(np.float32)  # type: ignore[return-value]


@compiled(fastmath={"contract", "arcp", "nsz"})
def _exponentials(x: np.ndarray, count: int) -> None:  # pragma: no cover
    """Replace the first `count` of x by their exponentials; NaN stays."""
    for i in range(count):
        value = min(max(x[i], _LOWEST), _HIGHEST)
        n = np.floor(value * _LOG2E + _HALF)
        r = value - n * _LN2_HIGH - n * _LN2_LOW
        p = ((((_P0 * r + _P1) * r + _P2) * r + _P3) * r + _P4) * r + _P5
        made = (p * r * r + r + _ONE) * _two_to(n)
        x[i] = made if x[i] == x[i] else x[i]


@compiled(fastmath=True)
def add_and_normalise(
    x: np.ndarray, more: np.ndarray, weight: np.ndarray, eps: float, out: np.ndarray
) -> None:  # pragma: no cover
    """Add `more` to x, and write x / its root mean square * weight to `out`; all (t, hidden) but weight (hidden,)."""
    rows, size = x.shape
    for t in range(rows):
        total = np.float32(0)
        for i in range(size):
            value = x[t, i] + more[t, i]
            x[t, i] = value
            total += value * value
        scale = np.float32(1) / np.sqrt(total / np.float32(size) + np.float32(eps))
        for i in range(size):
            out[t, i] = x[t, i] * scale * weight[i]


@compiled(fastmath=True)
def normalise(x: np.ndarray, weight: np.ndarray, eps: float, out: np.ndarray) -> None:  # pragma: no cover
    """Write x / its root mean square * weight to `out`; (t, hidden) but weight (hidden,)."""
    rows, size = x.shape
    for t in range(rows):
        total = np.float32(0)
        for i in range(size):
            total += x[t, i] * x[t, i]
        scale = np.float32(1) / np.sqrt(total / np.float32(size) + np.float32(eps))
        for i in range(size):
            out[t, i] = x[t, i] * scale * weight[i]


@compiled(fastmath=True)
def normalise_heads(heads: np.ndarray, weight: np.ndarray, eps: float) -> None:  # pragma: no cover
    """Normalise queries and keys in place. heads (t, groups, query heads + 2, size), weight (query heads + 1, size)."""
    rows, groups, each, size = heads.shape
    for t in range(rows):
        for g in range(groups):
            for h in range(each - 1):
                total = np.float32(0)
                for i in range(size):
                    total += heads[t, g, h, i] * heads[t, g, h, i]
                scale = np.float32(1) / np.sqrt(total / np.float32(size) + np.float32(eps))
                for i in range(size):
                    heads[t, g, h, i] *= scale * weight[h, i]


@compiled(fastmath={"contract", "arcp", "nsz"})
def swiglu(x: np.ndarray, out: np.ndarray) -> None:  # pragma: no cover
    """Write gate / (1 + exp(-gate)) * up to `out` (t, size), of x (t, 2 size): gates first."""
    rows, size = out.shape
    for t in range(rows):
        for i in range(size):
            out[t, i] = -x[t, i]
        _exponentials(out[t], size)
        for i in range(size):
            out[t, i] = x[t, i] / (_ONE + out[t, i]) * x[t, size + i]


@compiled(fastmath={"contract"})
def turn_and_place(
    heads: np.ndarray, cosine: np.ndarray, sine: np.ndarray, keys: np.ndarray, values: np.ndarray, cells: np.ndarray
) -> None:  # pragma: no cover
    """Turn queries and keys to their positions, in place, and write keys and values into the cache.

    heads (t, groups, query heads + 2, size); cosine, sine (t, size / 2), empty where nothing is turned;
    keys, values (cells, groups, size); cells (t,).
    """
    rows, groups, each, size = heads.shape
    half = size // 2
    turned = cosine.shape[0] > 0
    for t in range(rows):
        cell = cells[t]
        for g in range(groups):
            if turned:
                for h in range(each - 1):
                    for i in range(half):
                        a, b = heads[t, g, h, i], heads[t, g, h, half + i]
                        heads[t, g, h, i] = a * cosine[t, i] - b * sine[t, i]
                        heads[t, g, h, half + i] = b * cosine[t, i] + a * sine[t, i]
            for i in range(size):
                keys[cell, g, i] = heads[t, g, each - 2, i]
                values[cell, g, i] = heads[t, g, each - 1, i]


@compiled(fastmath=True)
def _scores(
    query: np.ndarray,
    q: np.uint64,
    keys: np.ndarray,
    k: np.uint64,
    step: np.uint64,
    count: int,
    size: int,
    scale: np.float32,
    scores: np.ndarray,
    s: np.uint64,
) -> None:  # pragma: no cover
    """Write `count` products of a query with keys `step` apart. Flat arrays, and where in them to begin.

    Whole numbers without a sign: with one, each index might count from the end, and the loops are not vectorised.
    """
    for j in range(count):
        at = k + np.uint64(j) * step
        total = np.float32(0)
        for i in range(size):
            total += query[q + np.uint64(i)] * keys[at + np.uint64(i)]
        scores[s + np.uint64(j)] = total * scale


@compiled(fastmath={"contract"})
def _mix(
    out: np.ndarray,
    o: np.uint64,
    values: np.ndarray,
    v: np.uint64,
    step: np.uint64,
    count: int,
    size: int,
    scores: np.ndarray,
    s: np.uint64,
) -> None:  # pragma: no cover
    """Add `count` values, `step` apart, each times its score; in order."""
    for j in range(count):
        at = v + np.uint64(j) * step
        by = scores[s + np.uint64(j)]
        for i in range(size):
            out[o + np.uint64(i)] += by * values[at + np.uint64(i)]


@compiled(fastmath={"contract", "arcp", "nsz"})
def _softmax(x: np.ndarray, count: int) -> None:  # pragma: no cover
    highest = x[0]
    for j in range(1, count):
        highest = max(highest, x[j])
    for j in range(count):
        x[j] -= highest
    _exponentials(x, count)
    total = np.float32(0)
    for j in range(count):
        total += x[j]
    by = _ONE / total
    for j in range(count):
        x[j] *= by


@compiled()
def attend(
    heads: np.ndarray,
    keys: np.ndarray,
    values: np.ndarray,
    tables: np.ndarray,
    of: np.ndarray,
    positions: np.ndarray,
    block: int,
    first: int,
    last: int,
    out: np.ndarray,
) -> None:  # pragma: no cover
    """Write what tokens from `first` to `last` attend to into `out` (t, groups, query heads, size).

    heads (t, groups, query heads + 2, size), as `turn_and_place` left them; keys, values (cells, groups, size);
    tables (sequences, blocks); of (t,) a token's row in tables; positions (t,): it sees one token more; block: tokens
    of a block. Cost: 4 x size x query heads x tokens seen, and nothing is copied.
    """
    groups, each, size = out.shape[1], out.shape[2], out.shape[3]
    queries, flat, all_keys, all_values = heads.ravel(), out.ravel(), keys.ravel(), values.ravel()
    step = np.uint64(groups * size)
    scores = np.empty(positions[first:last].max() + 1, np.float32)
    scale = np.float32(1 / np.sqrt(size))
    for t in range(first, last):
        length = positions[t] + 1
        for g in range(groups):
            for h in range(each):
                q = np.uint64(((t * groups + g) * (each + 2) + h) * size)
                o = np.uint64(((t * groups + g) * each + h) * size)
                for place in range(0, length, block):
                    k = np.uint64((tables[of[t], place // block] * block * groups + g) * size)
                    count = min(block, length - place)
                    _scores(queries, q, all_keys, k, step, count, size, scale, scores, np.uint64(place))
                _softmax(scores, length)
                out[t, g, h] = 0
                for place in range(0, length, block):
                    v = np.uint64((tables[of[t], place // block] * block * groups + g) * size)
                    count = min(block, length - place)
                    _mix(flat, o, all_values, v, step, count, size, scores, np.uint64(place))
