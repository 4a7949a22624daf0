"""Column functions with a CPU and a GPU version: the only place the two differ.

The type of the first argument picks the version, so no stage holds a device flag. Each function
below is a contract: `cpu.py` and `gpu.py` keep it, and one test suite checks both on the same
cases, to the bit. A version missing on the GPU goes through Arrow to the CPU; its bytes are
counted, and the runner writes them to run.json as `kernel_fallback_bytes`.

All but `unit_vectors` take a column of strings (missing text counts as empty); all return a frame with its index.
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
def text_signals(text: Column, names: tuple[str, ...], words: str = "spaces") -> Frame:
    """Measure the heuristics called `names`, all in one pass over the text's bytes.

    `words` is "spaces", what str.split() returns; "letters", in scripts that put no space between words each
    letter (curator.kernels.letter_units); or "datatrove", the tokens of spaCy's blank English
    (curator.kernels.datatrove_words), for which spaCy must be installed: else ModelError.

    Counts are int64, ratios float64 from one division of two counts (0.0 where the divisor is 0).
    The signals and their definitions are listed in `curator.kernels.signals.SIGNALS`.
    Cost: about 200 MB/s a core for those of GopherQuality, 75 with Gopher's n-grams, 60 for those of all families
    together (a core with AVX2, its other hyperthread busy).
    """


@kernel
def listed_words(text: Column, which: Any, lists: tuple[tuple[str, ...], ...], inside: tuple[bool, ...]) -> Frame:
    """Count in `listed_words` int64 how many different words of a list stand in each text.

    Text i is searched for lists[which[i]] (`which` is int64 of numpy; -1: for nothing, which counts 0): where
    `inside` of that list is false among its words (str.split, as they are written), else anywhere in it.
    Cost: about 300 MB/s a core; of a list searched anywhere, 1 GB/s a word.
    """


@kernel
def hash128(text: Column) -> Frame:
    """Hash each text's UTF-8 bytes with XXH3-128 (seed 0): columns hash_hi, hash_lo uint64."""


@kernel
def normalised(text: Column, form: str) -> Frame:
    """Return `normalised`: each text in its normal form, as `curator.kernels.normal` says of `space` and
    `words`, and `curator.kernels.urls` of `url`. A text without words is its own `words` form."""


@kernel
def line_hashes(text: Column, paragraphs: bool, form: str, min_characters: int) -> Frame:
    """Return the lines, or paragraphs, of each text that hold at least so many characters, as lists side by
    side: `hashes` uint64, `starts` and `stops` uint32, bytes of the text (`curator.kernels.lines`)."""


@kernel
def band_keys(text: Column, sketch: str, shingles: str, width: int, bands: int, rows: int, seed: int) -> Frame:
    """Sketch the shingles of each text with bands x rows values and hash each band of the sketch.

    Returns `band_00`, `band_01`, ...: uint64, a column a band (curator.kernels.lsh). For `sketch`,
    `shingles` and `width` see `sketches`. A text without shingles has null bands: it is nobody's
    near-duplicate.
    """


@kernel
def sketches(text: Column, sketch: str, shingles: str, width: int, size: int, seed: int) -> Frame:
    """Sketch the shingles of each text: column `sketch`, a list of `size` uint32, or uint64 of "cudf64".

    The share of equal values of two sketches estimates the Jaccard similarity of the texts' shingles.
    `sketch` is

    * "fss": Fast Similarity Sketching (curator.kernels.sketch): the fastest, and the sharpest for short texts;
    * "minhash": the classic, by multiply-add in 32 bits (curator.kernels.minhash);
    * "cudf", "cudf64": what cudf's str.minhash and minhash64 give, to the bit, with the permutations of
      NeMo Curator (curator.kernels.cudf_minhash): for comparison with those; quirks included.

    `shingles` is "words", runs of letters and digits (curator.kernels.shingles), or "characters"
    (curator.kernels.characters), of which `width` consecutive ones are a shingle. Both lower-case the text,
    except that "cudf" takes the characters as they are. In Chinese, Japanese, Thai or other text without
    spaces a word is all between two punctuation marks, so a shingle of 5 words is five clauses, and one
    changed letter spoils them all: take characters there.

    A text without shingles (no words; only white space; of cudf's characters, none at all) has zeros.
    0 <= seed < 2**32. Raises SpecError for a name or number out of range.

    Cost, MB/s on a core of 2017 without AVX-512 at 112 values, by words of width 5 and characters of 24:
    fss 314 and 126, minhash 134 and 29, cudf 76 and 25, cudf64 17 and 5. All but fss pay a multiplication
    for each shingle and value, and gain as much as the vector unit is wider.
    """


@kernel
def shingle_sets(text: Column, shingles: str, width: int) -> Frame:
    """Return `shingles`: the sorted distinct uint64 hashes of each text's shingles, as a list.

    `shingles` is "words" or "characters", as in `sketches`.
    """


@kernel
def c4_lines(
    text: Column, min_words: int, max_word_length: int, terminal_mark: bool, citations: bool, phrases: int
) -> Frame:
    """Return the spans that C4 cuts out of each text, as lists side by side: `starts` and `stops` int64, bytes of
    the text, `kinds` and `fills` uint8, of `curator.kernels.c4.KINDS` and `FILLS`; `phrases` or-s those of
    `curator.kernels.c4_phrases`."""


@kernel
def long_paragraphs(text: Column, min_characters: int) -> Frame:
    """Return `long_paragraphs` int64: how many pieces between line feeds hold at least so many characters."""


@kernel
def text_length(text: Column) -> Frame:
    """Return `characters` int64: code points of each text, 0 where it is missing."""


@kernel
def unit_vectors(column: Column) -> Frame:
    """Scale lists of float32 to length 1, in fixed point (curator.kernels.vectors).

    Returns `vector` list<float32>, null where it is missing, empty, of zeros or broken, and `broken` bool, true
    where it holds a null, NaN or infinity.
    """


@kernel
def ngram_places(text: Column, ngrams: Any) -> Frame:
    """Find word n-grams of a given set (`curator.kernels.ngram_sets.Ngrams`) in each text.

    Returns lists side by side, by place and length: `ngrams` uint32, their numbers in the set, `starts` and `stops`
    uint32, bytes of the text. Cost: 300 to 400 MB/s a core where little is found.
    """


@kernel
def winnowed(text: Column, length: int, words: bool) -> Frame:
    """Cut the windows of `length` bytes (or words) of each text into runs, for finding repeated substrings.

    Returns lists side by side: starts int64 and windows uint32 (the first unit of a run, and how many windows
    it has), prints and hashes uint64; see `curator.kernels.winnow`. A shorter text has none.
    Cost: about 180 MB/s a core on bytes.
    """
