"""What lies between the matrix products, on a CPU in float32: compiled, in place, one row after another.

Every row is computed by the same operations in the same order, whatever rows are beside it and however its sequence
was cut into steps and blocks: with matrix products that are so too (serve.engine.linear), a request gives the same
bits in any company. Attention looks no further than a sequence has got; a lone token reads keys and values where they
lie, a run of tokens puts a head's side by side first.
"""

from __future__ import annotations

import numpy as np

from serve.engine.compiled import compiled, inlined

# exp by 2^n p(r): n = round(x / ln 2), r the rest, p the polynomial of Cephes' expf; relative error under 2e-7.
_LOG2E, _LN2_HIGH, _LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
_P0, _P1, _P2 = np.float32(1.9875691500e-4), np.float32(1.3981999507e-3), np.float32(8.3334519073e-3)
_P3, _P4, _P5 = np.float32(4.1665795894e-2), np.float32(1.6666665459e-1), np.float32(5.0000001201e-1)
# Attention of a run: tokens from which keys are put side by side; tokens, and numbers of keys, looked at together.
_TOGETHER, _TOKENS, _NEAR = 4, 16, 4096
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
    """Add `count` values, `step` apart, each times its score; in order, four for each reading of what is added to."""
    fours = count // 4 * 4
    for j in range(0, fours, 4):
        at, score = v + np.uint64(j) * step, s + np.uint64(j)
        by0, by1 = scores[score], scores[score + np.uint64(1)]
        by2, by3 = scores[score + np.uint64(2)], scores[score + np.uint64(3)]
        at1, at2, at3 = at + step, at + np.uint64(2) * step, at + np.uint64(3) * step
        for i in range(size):
            n = np.uint64(i)
            made = out[o + n] + by0 * values[at + n]
            made += by1 * values[at1 + n]
            made += by2 * values[at2 + n]
            out[o + n] = made + by3 * values[at3 + n]
    for j in range(fours, count):
        at, by = v + np.uint64(j) * step, scores[s + np.uint64(j)]
        for i in range(size):
            out[o + np.uint64(i)] += by * values[at + np.uint64(i)]


@compiled(fastmath=True)
def _highest(x: np.ndarray, count: int) -> np.float32:  # pragma: no cover
    highest = np.float32(x[0])
    for j in range(1, count):
        highest = max(highest, x[j])
    return highest


@compiled(fastmath={"reassoc"})
def _total(x: np.ndarray, count: int) -> np.float32:  # pragma: no cover
    """Return the sum, in an order that `count` decides."""
    total = np.float32(0)
    for j in range(count):
        total += x[j]
    return total


@compiled(fastmath={"contract", "arcp", "nsz"})
def _softmax(x: np.ndarray, count: int) -> None:  # pragma: no cover
    highest = _highest(x, count)
    for j in range(count):
        x[j] -= highest
    _exponentials(x, count)
    by = _ONE / _total(x, count)
    for j in range(count):
        x[j] *= by


@compiled(fastmath={"contract"})
def _attend_alone(
    heads: np.ndarray, keys: np.ndarray, values: np.ndarray, table: np.ndarray, block: int, t: int, seen: int,
    out: np.ndarray, scores: np.ndarray,
) -> None:  # pragma: no cover  # fmt: skip
    """Write what token t attends to; it sees `seen` tokens, which are read where they lie, block after block.

    scores (groups x query heads, at least seen): room.
    """
    groups, each, size = out.shape[1], out.shape[2], out.shape[3]
    queries, flat, all_keys, all_values = heads.ravel(), out.ravel(), keys.ravel(), values.ravel()
    step, scale = np.uint64(groups * size), np.float32(1 / np.sqrt(size))
    for place in range(0, seen, block):
        count = min(block, seen - place)
        for g in range(groups):
            k = np.uint64((table[place // block] * block * groups + g) * size)
            for h in range(each):
                q = np.uint64(((t * groups + g) * (each + 2) + h) * size)
                row = scores[g * each + h]
                _scores(queries, q, all_keys, k, step, count, size, scale, row, np.uint64(place))
    for number in range(groups * each):
        _softmax(scores[number], seen)
    out[t] = 0
    for place in range(0, seen, block):
        count = min(block, seen - place)
        for g in range(groups):
            v = np.uint64((table[place // block] * block * groups + g) * size)
            for h in range(each):
                o = np.uint64(((t * groups + g) * each + h) * size)
                _mix(flat, o, all_values, v, step, count, size, scores[g * each + h], np.uint64(place))


@compiled(fastmath={"contract"})
def _attend_together(
    heads: np.ndarray, keys: np.ndarray, values: np.ndarray, table: np.ndarray, block: int, first: int, last: int,
    seen: int, out: np.ndarray,
) -> None:  # pragma: no cover  # fmt: skip
    """Write what tokens from `first` to `last` attend to: a run of one sequence, of which the first sees `seen`.

    The same operations in the same order as `_attend_alone` for each of them, but a group's keys and values are put
    side by side once, and some at a time stay in the first cache while a few tokens look at them.
    """
    groups, each, size = out.shape[1], out.shape[2], out.shape[3]
    queries, flat = heads.ravel(), out.ravel()
    length, scale, step = seen + last - first - 1, np.float32(1 / np.sqrt(size)), np.uint64(size)
    near = max(1, _NEAR // size)
    own_keys, own_values = np.empty((length, size), np.float32), np.empty((length, size), np.float32)
    flat_keys, flat_values = own_keys.ravel(), own_values.ravel()
    scores = np.empty((_TOKENS, length), np.float32)
    for g in range(groups):
        for place in range(length):
            cell = table[place // block] * block + place % block
            own_keys[place] = keys[cell, g]
            own_values[place] = values[cell, g]
        for begin in range(first, last, _TOKENS):
            end = min(begin + _TOKENS, last)
            for h in range(each):
                for place in range(0, seen + end - 1 - first, near):
                    for t in range(max(begin, first + place - seen + 1), end):  # that see so far
                        count = min(near, seen + t - first - place)
                        q = np.uint64(((t * groups + g) * (each + 2) + h) * size)
                        k = np.uint64(place * size)
                        row = scores[t - begin]
                        _scores(queries, q, flat_keys, k, step, count, size, scale, row, np.uint64(place))
                for t in range(begin, end):
                    _softmax(scores[t - begin], seen + t - first)
                    out[t, g, h] = 0
                for place in range(0, seen + end - 1 - first, near):
                    for t in range(max(begin, first + place - seen + 1), end):  # that see so far
                        count = min(near, seen + t - first - place)
                        o = np.uint64(((t * groups + g) * each + h) * size)
                        v = np.uint64(place * size)
                        _mix(flat, o, flat_values, v, step, count, size, scores[t - begin], np.uint64(place))


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
    tables (sequences, blocks); of (t,) a token's row in tables; positions (t,): it sees one token more, and tokens of
    one sequence follow each other; block: tokens of a block. Cost: 4 x size x query heads x tokens seen.
    """
    scores = np.empty((out.shape[1] * out.shape[2], positions[first:last].max() + 1), np.float32)
    t = first
    while t < last:
        stop = t + 1
        while stop < last and of[stop] == of[t]:
            stop += 1
        if stop - t < _TOGETHER:
            for alone in range(t, stop):
                seen = positions[alone] + 1
                _attend_alone(heads, keys, values, tables[of[t]], block, alone, seen, out, scores)
        else:
            _attend_together(heads, keys, values, tables[of[t]], block, t, stop, positions[t] + 1, out)
        t = stop
