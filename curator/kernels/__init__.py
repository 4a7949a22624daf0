"""Column functions with a CPU and a GPU version: the only place the two differ.

The type of the first argument picks the version, so no stage holds a device flag. Each function
below is a contract: `cpu.py` and `gpu.py` keep it, and one test suite checks both on the same
cases, to the bit. A version missing on the GPU goes through Arrow to the CPU; its bytes are
counted, and the runner writes them to run.json as `kernel_fallback_bytes`.

All take a column of strings (missing text counts as empty) and return a frame with its index.
"""

import functools
import importlib
from collections.abc import Callable
from typing import Any

from curator.stage import Column, Frame

CONTRACTS: list[str] = []


def kernel(contract: Callable[..., Frame]) -> Callable[..., Frame]:
    """Make a documented, body-less function call its namesake in `cpu` or `gpu`."""
    CONTRACTS.append(contract.__name__)

    @functools.wraps(contract)
    def call(column: Column, *arguments: Any) -> Frame:
        library = type(column).__module__.partition(".")[0]
        versions = importlib.import_module(f"{__name__}.{'gpu' if library == 'cudf' else 'cpu'}")
        return getattr(versions, contract.__name__)(column, *arguments)

    return call


@kernel
def text_signals(text: Column, names: tuple[str, ...]) -> Frame:
    """Measure the heuristics called `names`, all in one pass over the text's bytes.

    Counts are int64, ratios float64 from one division of two counts (0.0 where the divisor is 0).
    The signals and their definitions are listed in `curator.kernels.signals.SIGNALS`.
    Cost: about 130 MB/s a core without the n-gram signals, 85 with them (a 2025 server core).
    """


@kernel
def hash128(text: Column) -> Frame:
    """Hash each text's UTF-8 bytes with XXH3-128 (seed 0): columns hash_hi, hash_lo uint64."""


@kernel
def band_keys(text: Column, bands: int, rows: int, width: int, seed: int) -> Frame:
    """Sketch the word shingles of each text and hash each band of the sketch.

    Returns `band_00`, `band_01`, ...: uint64, a column a band. Shingles are `width` consecutive words
    (curator.kernels.shingles); the sketch is Fast Similarity Sketching with bands x rows values
    (Dahlgaard, Knudsen, Thorup, FOCS 2017). A text without words has null bands: it is nobody's
    near-duplicate.
    """


@kernel
def shingle_sets(text: Column, width: int) -> Frame:
    """Return `shingles`: the sorted distinct uint64 hashes of each text's word shingles, as a list."""


@kernel
def text_length(text: Column) -> Frame:
    """Return `characters` int64: code points of each text, 0 where it is missing."""


@kernel
def winnowed(text: Column, length: int, words: bool) -> Frame:
    """Cut the windows of `length` bytes (or words) of each text into runs, for finding repeated substrings.

    Returns lists side by side: starts int64 and windows uint32 (the first unit of a run, and how many windows
    it has), prints and hashes uint64; see `curator.kernels.winnow`. A shorter text has none.
    Cost: about 180 MB/s a core on bytes.
    """
