"""Count words (str.split) of each kind, and index them for what compares them, in one walk over a text's marks.

The index of a text's words is a tuple of arrays:
    letters  # (bytes of words + 8) uint8: the words, without the spaces between
    hashes   # (words) uint64: of each word
    stops    # (words + 1) uint32: bytes of the first i words
    ends     # (words + 1) uint32: characters of the first i words
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.bits import BLOCK, compiled, fold_multiply, load64, store64, trailing_zeros
from curator.kernels.counts import ONE, at, is_dots, is_ellipsis, signed, total
from curator.kernels.marks import ALPHAS, LETTERS, PLAIN, SIGNS, SPACES, STARTS, below, blocks

Index = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Hash = Any  # uint64

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
SEED, FACTOR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)  # odd, without a pattern
STOP_FACTOR = np.uint64(0xA648A7DD06839EB9)  # spreads the eight words over sixteen slots
USUAL = 64  # characters: the median word is shorter, but for texts that are no prose
WIDTH = 8  # bytes of a word that are looked at in one step


@compiled
def low_bytes(size: int) -> Any:
    """Return the bits of the first 1 to 8 bytes of a little-endian number."""
    return ~np.uint64(0) >> np.uint64(64 - 8 * size)


@compiled
def hash_bytes(buffer: np.ndarray, start: int, stop: int) -> Hash:
    """Return a hash of buffer[start:stop], never 0. Up to 7 bytes behind them are read, and ignored."""
    value = fold_multiply(np.uint64(stop - start) ^ SEED, FACTOR)
    i = start
    while i + WIDTH < stop:
        value = fold_multiply(value ^ load64(buffer, i), FACTOR)
        i += WIDTH
    if i < stop:
        value = fold_multiply(value ^ load64(buffer, i) & low_bytes(stop - i), FACTOR)
    return value | ONE


@compiled
def copy_word(text: np.ndarray, start: int, stop: int, letters: np.ndarray, place: int) -> None:
    """Copy text[start:stop] to letters[place:]; up to 7 bytes behind it are overwritten."""
    for i in range(0, stop - start, WIDTH):
        store64(letters, place + i, load64(text, start + i))


@compiled
def stop_slot(head: Any) -> Any:
    """Return the slot of STOP_CODES where a stop word would be whose letters are these."""
    return head * STOP_FACTOR >> np.uint64(60)


def _stop_table() -> tuple[np.ndarray, np.ndarray]:
    """Return the letters (uint64) and lengths of the stop words, each in its slot; 0 in the other slots."""
    codes, lengths = np.zeros(16, np.uint64), np.zeros(16, np.int64)
    for word in STOP_WORDS:
        head = int.from_bytes(word.encode(), "little")
        slot = (head * int(STOP_FACTOR)) % (1 << 64) >> 60
        assert not lengths[slot], "STOP_FACTOR puts two words into one slot"
        codes[slot], lengths[slot] = head, len(word)
    return codes, lengths


STOP_CODES, STOP_LENGTHS = _stop_table()


@compiled
def carried(words: Any, marked: Any, carry: Any) -> tuple[Any, Any]:
    """Return the bits behind the words that hold a marked byte, and what to carry to the next block.

    Words are runs of ones, of which `marked` is a part: adding one to the other carries out of each run that is
    marked, and out of no other.
    """
    partly = words + marked
    whole = partly + carry
    return whole & ~words, np.uint64(partly < words) | np.uint64(whole < partly)


@compiled
def is_symbol_word(text: np.ndarray, start: int, stop: int) -> bool:
    """Tell whether NeMo Curator counts the word as a symbol: an ellipsis, bracketed maybe, "-»", or more runs of "#"
    than half its characters."""
    first, size = at(text, start), stop - start
    if first == ord("#"):
        runs = characters = 0
        for i in range(start, stop):
            runs += (text[i] == ord("#")) & ((i == start) | (text[i - 1] != ord("#")))
            characters += text[i] & 0xC0 != 0x80
        return 2 * runs > characters
    if first == ord("["):
        inner = (is_dots(text, start + 1) or is_ellipsis(text, start + 1)) and text[stop - 1] == ord("]")
        return size == 5 and inner
    if first == ord("("):
        return size == 5 and is_dots(text, start + 1) and text[stop - 1] == ord(")")
    if first == ord("-"):
        return size == 3 and text[start + 1] == 0xC2 and text[start + 2] == 0xBB
    return size == 3 and (is_dots(text, start) or is_ellipsis(text, start))


@compiled
def may_be_symbol(byte: int) -> bool:
    """Tell whether a word that starts with this byte may be one that `is_symbol_word` is for."""
    return byte in (ord("#"), ord("["), ord("("), ord("-"), ord("."), 0xE2)


@compiled
def count_kinds_of_words(marks: np.ndarray, size: int, row: Any) -> None:
    """Count the words that hold a letter, by either definition, and those that hold "#" or "…"."""
    alpha = letter = sign = 0
    carry_alpha = carry_letter = carry_sign = np.uint64(0)
    for block in range(blocks(size)):
        marked = marks[block]
        inside = ~marked[SPACES]
        behind, carry_alpha = carried(inside, marked[ALPHAS], carry_alpha)
        alpha += total(behind)
        behind, carry_letter = carried(inside, marked[LETTERS], carry_letter)
        letter += total(behind)
        behind, carry_sign = carried(inside, marked[SIGNS], carry_sign)
        sign += total(behind)
    row.alpha_words, row.letter_words, row.sign_words = alpha, letter, sign


@compiled
def count_words(text: np.ndarray, marks: np.ndarray, index: Index, row: Any) -> None:
    """Count the words of each kind, and fill the index."""
    letters, hashes, stops, ends = index
    words = symbols = symbol_characters = marked_words = stop_mask = stop_count = longest = 0
    inner = 0  # characters in words before this block
    start = -1  # of the word that is open
    place = end = 0  # bytes and characters of the words before
    before = carry = np.uint64(0)
    stops[0] = ends[0] = 0
    for block in range(blocks(len(text))):
        base = block * BLOCK
        inside = ~marks[block, SPACES]
        shifted = inside << ONE | before
        before = inside >> np.uint64(63)
        begins, closes = inside & ~shifted, shifted & ~inside
        plain, carry = carried(inside, marks[block, PLAIN], carry)
        first_bytes = inside & marks[block, STARTS]
        while closes:
            if start < 0:
                start = base + trailing_zeros(begins)
                begins &= begins - ONE
            bit = trailing_zeros(closes)
            stop = base + bit
            size = stop - start
            length = inner + total(first_bytes & below(bit)) - end
            end += length
            head = load64(text, start) & low_bytes(min(size, WIDTH))
            if size <= WIDTH:
                store64(letters, place, head)
                value = fold_multiply(head ^ SEED, np.uint64(size) ^ FACTOR)
                slot = stop_slot(head)
                found = (at(STOP_CODES, slot) == head) & (at(STOP_LENGTHS, slot) == size)
                stop_mask |= signed(found) << signed(slot)
                stop_count += found
            else:
                copy_word(text, start, stop, letters, place)
                value = hash_bytes(text, start, stop)
            if not plain & closes & (~closes + ONE):
                symbols += 1
                symbol_characters += length
            if may_be_symbol(signed(at(text, start))):
                marked_words += is_symbol_word(text, start, stop)
            closes &= closes - ONE
            longest = max(longest, length)
            hashes[words] = value
            words += 1
            place += size
            stops[words] = place
            ends[words] = end
            start = -1
        if begins:
            start = base + trailing_zeros(begins)
        inner += total(first_bytes)
    row.words, row.word_characters, row.longest_word = words, inner, longest
    row.nonsymbol_words, row.nonsymbol_characters = words - symbols, inner - symbol_characters
    row.symbol_words, row.stop_words, row.stop_word_places = marked_words, total(np.uint64(stop_mask)), stop_count
    count_kinds_of_words(marks, len(text), row)


@compiled
def count_middle(ends: np.ndarray, lengths: np.ndarray, row: Any) -> None:
    """Find the word in the middle by length, or the two of an even number: how many, and their characters.

    lengths  # (words) uint32: scratch
    """
    words = row.words
    row.middle_words = row.middle_word_characters = 0
    if not words:
        return
    times = np.zeros(USUAL + 1, np.int64)
    for i in range(words):
        lengths[i] = ends[i + 1] - ends[i]
        times[min(signed(lengths[i]), USUAL)] += 1
    row.middle_words = 2 - words % 2
    row.middle_word_characters = nth_length(times, lengths[:words], words // 2)
    if words % 2 == 0:
        row.middle_word_characters += nth_length(times, lengths[:words], words // 2 - 1)


@compiled
def nth_length(times: np.ndarray, lengths: np.ndarray, n: int) -> int:
    """Return the n-th of the lengths in order; `times` tells how often each is there, longer ones than USUAL as such."""
    for length in range(USUAL):
        n -= signed(times[length])
        if n < 0:
            return length
    return signed(np.sort(lengths)[n + len(lengths) - signed(times[USUAL])])
