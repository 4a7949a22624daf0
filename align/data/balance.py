"""Micro-batches of a global batch: equally many on each data rank, balanced by tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from align.batch import Example

Plan = list[list[list[int]]]  # [rank][micro-batch] -> indexes of examples; an empty one is align.layout.empty


def planned(examples: Sequence[Example], budget: int, ranks: int = 1, *, packing: bool = True) -> Plan:
    """Return which examples make up each micro-batch of each data rank, for `align.layout` packed or padded.

    `budget`: tokens of a micro-batch, at most, padding included where it is padded; an example over it has one to
    itself.
    """
    if packing:
        return balanced([one.length for one in examples], budget, ranks)
    widths = [max(len(sequence.tokens) for sequence in one.sequences) for one in examples]
    return balanced(widths, budget, ranks, [len(one.sequences) for one in examples])


def balanced(lengths: Sequence[int], budget: int, ranks: int = 1, rows: Sequence[int] | None = None) -> Plan:
    """Return [rank][micro-batch] -> indexes of examples, by their tokens.

    Examples go to ranks by LPT (longest first, each to the rank with the fewest tokens; Graham 1969: at most 4/3 of
    the best makespan), then within a rank into micro-batches: as few as first-fit decreasing needs on the fullest
    rank, filled evenly by LPT where that keeps the budget. `rows`: padded micro-batches, in which example i takes
    rows[i] rows as wide as the longest there; `lengths` are then those of the examples' longest sequences.

    Every example is there once. Ranks have equally many micro-batches, of which some are empty where a rank needs
    fewer. Deterministic: of equal choices the first. Cost: n log n + n x micro-batches.
    """
    order = sorted(range(len(lengths)), key=lambda n: (-lengths[n], n))
    costs = [length * (rows[n] if rows else 1) for n, length in enumerate(lengths)]
    shares = spread(order, costs, ranks)
    fitted = [first_fit(share, lengths, budget, rows) for share in shares]
    count = max(1, *(len(bins) for bins in fitted))
    plan = []
    for share, bins in zip(shares, fitted):
        even = spread(share, costs, count)
        keeps = rows is None and all(sum(costs[n] for n in one) <= budget or len(one) == 1 for one in even)
        plan.append([sorted(one) for one in (even if keeps else bins + [[]] * (count - len(bins)))])
    return plan


def spread(order: Sequence[int], costs: Sequence[int], bins: int) -> list[list[int]]:
    """Give examples, in order, each to the bin of the lowest cost; of equal ones to that of the fewest examples."""
    filled: list[list[int]] = [[] for _ in range(bins)]
    cost = [0] * bins
    for number in order:
        least = min(range(bins), key=lambda one: (cost[one], len(filled[one]), one))
        filled[least].append(number)
        cost[least] += costs[number]
    return filled


@dataclass
class _Bin:
    width: int  # of its first example, which is its longest
    members: list[int]
    cells: int = 0
    rows: int = 0


def first_fit(
    order: Sequence[int], lengths: Sequence[int], budget: int, rows: Sequence[int] | None = None
) -> list[list[int]]:
    """Put examples, longest first, each into the first bin with room for it."""
    bins: list[_Bin] = []
    for number in order:
        own = rows[number] if rows else 1

        def cells(one: _Bin, own: int = own, length: int = lengths[number]) -> int:
            return (one.rows + own) * one.width if rows else one.cells + length

        place = next((one for one in bins if cells(one) <= budget), None)
        if place is None:
            place = _Bin(lengths[number], [])
            bins.append(place)
        place.cells, place.rows = cells(place), place.rows + own
        place.members.append(number)
    return [one.members for one in bins]
