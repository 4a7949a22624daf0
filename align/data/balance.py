"""Micro-batches of a global batch: equally many on each data rank, balanced by what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from align.batch import Example

Plan = list[list[list[int]]]  # [rank][micro-batch] -> indexes of examples; an empty one is align.layout.empty


def planned(examples: Sequence[Example], budget: int, ranks: int = 1, *, packing: bool = True) -> Plan:
    """Return which examples make up each micro-batch of each data rank, for `align.layout` packed or padded.

    `budget`: cells of a micro-batch, at most, padding included where it is padded; an example over it has one to
    itself.
    """
    if packing:
        return balanced([one.length for one in examples], budget, ranks)
    widths = [max(len(sequence.tokens) for sequence in one.sequences) for one in examples]
    return banded(widths, [len(one.sequences) for one in examples], budget, ranks)


def balanced(lengths: Sequence[int], budget: int, ranks: int = 1) -> Plan:
    """Return [rank][micro-batch] -> indexes of examples that are packed, by their tokens.

    Examples go to ranks by LPT (longest first, each to the rank with the fewest tokens; Graham 1969: at most 4/3 of
    the best makespan), then within a rank into micro-batches: as few as first-fit decreasing needs on the fullest
    rank, filled evenly by LPT where that keeps the budget.

    Every example is there once. Ranks have equally many micro-batches, of which some are empty where a rank needs
    fewer. Deterministic: of equal choices the first. Cost: n log n + n x micro-batches.
    """
    order = sorted(range(len(lengths)), key=lambda n: (-lengths[n], n))
    shares = spread(order, lengths, ranks)
    fitted = [first_fit(share, lengths, budget) for share in shares]
    count = max(1, *(len(bins) for bins in fitted))
    plan = []
    for share, bins in zip(shares, fitted):
        even = spread(share, lengths, count)
        keeps = all(sum(lengths[n] for n in one) <= budget or len(one) == 1 for one in even)
        plan.append([sorted(one) for one in (even if keeps else bins + [[]] * (count - len(bins)))])
    return plan


def banded(widths: Sequence[int], rows: Sequence[int], budget: int, ranks: int = 1) -> Plan:
    """Return [rank][micro-batch] -> indexes of examples that are padded: of like length, so that little is padding.

    Example i takes rows[i] rows, all as wide as the longest of its micro-batch. Micro-batches are runs of the examples
    in order of length: as many as the budget asks for, rounded up to a multiple of the ranks, and then as small as so
    many can be, the costliest first to the rank with the fewest cells. The same laws as `balanced`.
    """
    order = sorted(range(len(widths)), key=lambda n: (-widths[n], n))
    each = max(-(-len(_runs(order, widths, rows, budget)) // ranks), 1)
    low, high = 1, budget  # fewest cells for which so many runs are enough
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_runs(order, widths, rows, middle)) <= each * ranks else (middle + 1, high)
    plan: Plan = [[] for _ in range(ranks)]
    cells = [0] * ranks
    for one in sorted(_runs(order, widths, rows, low), key=lambda one: -_cells(one, widths, rows)):
        rank = min((r for r in range(ranks) if len(plan[r]) < each), key=lambda r: (cells[r], r))
        plan[rank].append(sorted(one))
        cells[rank] += _cells(one, widths, rows)
    return [share + [[]] * (each - len(share)) for share in plan]


def spread(order: Sequence[int], costs: Sequence[int], bins: int) -> list[list[int]]:
    """Give examples, in order, each to the bin of the lowest cost; of equal ones to that of the fewest examples."""
    filled: list[list[int]] = [[] for _ in range(bins)]
    cost = [0] * bins
    for number in order:
        least = min(range(bins), key=lambda one: (cost[one], len(filled[one]), one))
        filled[least].append(number)
        cost[least] += costs[number]
    return filled


def first_fit(order: Sequence[int], lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Put examples, in order, each into the first bin with room for it."""
    bins: list[list[int]] = []
    tokens: list[int] = []
    for number in order:
        place = next((n for n, used in enumerate(tokens) if used + lengths[number] <= budget), len(bins))
        if place == len(bins):
            bins.append([])
            tokens.append(0)
        bins[place].append(number)
        tokens[place] += lengths[number]
    return bins


def _runs(order: Sequence[int], widths: Sequence[int], rows: Sequence[int], budget: int) -> list[list[int]]:
    """Cut examples, longest first, into as few runs of at most `budget` cells as there can be."""
    runs: list[list[int]] = []
    width = height = 0
    for number in order:
        if runs and (height + rows[number]) * width <= budget:
            runs[-1].append(number)
            height += rows[number]
        else:
            runs.append([number])
            width, height = widths[number], rows[number]
    return runs


def _cells(run: Sequence[int], widths: Sequence[int], rows: Sequence[int]) -> int:
    return max(widths[n] for n in run) * sum(rows[n] for n in run)
