"""Sketch sets by MinHash with multiply-add permutations, the classic form, in 32 bits.

Value i of a sketch is the smallest a[i] * e + b[i] modulo 2**32 of all elements e (Broder, SEQUENCES
1997; multiply-add instead of random permutations: Thorup, STOC 2013). Fast Similarity Sketching
(curator.kernels.sketch) is faster and never less exact; this one is what others' thresholds were tuned on.

The specification, which a version for another device must meet to the bit, all in 32-bit arithmetic:
e is the high half of a shingle's hash; with s(j) = mix32(mix32(seed) + j * 0x9E3779B9),
a[i] = s(2 i) | 1 and b[i] = s(2 i + 1). An odd a makes each value a permutation of the elements.
"""

from __future__ import annotations

import numpy as np

from curator.kernels.bits import compiled, mix32

LANES = 64  # values come in multiples of this, so that the loop over them runs in vectors to its end
SWEEP = 8  # elements seen in one pass over the values


@compiled
def parameters(size: int, seed: np.uint32) -> tuple[np.ndarray, np.ndarray]:
    """Return (a, b): uint32 (size) each."""
    a, b = np.empty(size, np.uint32), np.empty(size, np.uint32)
    start = mix32(seed)
    for i in range(size):
        a[i] = mix32(np.uint32(start + np.uint32(np.uint32(2 * i) * np.uint32(0x9E3779B9)))) | np.uint32(1)
        b[i] = mix32(np.uint32(start + np.uint32(np.uint32(2 * i + 1) * np.uint32(0x9E3779B9))))
    return a, b


def padded(parameter: np.ndarray) -> np.ndarray:
    """Return a parameter with zeros up to a multiple of LANES, as `minima` takes it."""
    return np.pad(parameter, (0, -parameter.size % LANES))


@compiled
def minima(elements: np.ndarray, count: int, a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    """Write the smallest a[i] * e + b[i] of elements[:count], at least one, to out[i]; all are uint32.

    a, b and out are `padded`; `elements` has room for SWEEP more, which are overwritten.
    Cost: a multiplication a value and element, which is what bounds it.
    """
    while count % SWEEP:  # an element seen twice changes no minimum
        elements[count] = elements[0]
        count += 1
    out[:] = np.uint32(0xFFFFFFFF)
    for i in range(0, count, SWEEP):
        e0, e1, e2, e3 = elements[i], elements[i + 1], elements[i + 2], elements[i + 3]
        e4, e5, e6, e7 = elements[i + 4], elements[i + 5], elements[i + 6], elements[i + 7]
        for k in range(out.size):
            x, y = a[k], b[k]
            m0 = min(
                min(np.uint32(x * e0 + y), np.uint32(x * e1 + y)), min(np.uint32(x * e2 + y), np.uint32(x * e3 + y))
            )
            m4 = min(
                min(np.uint32(x * e4 + y), np.uint32(x * e5 + y)), min(np.uint32(x * e6 + y), np.uint32(x * e7 + y))
            )
            out[k] = min(out[k], min(m0, m4))
