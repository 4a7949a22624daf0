"""Connected components on disk, by alternating stars (Kiveris et al., "Connected Components in MapReduce and
Beyond", SoCC 2014), for corpora whose documents do not fit one task as numbers.

Edges lie dealt by one of their ends. A large-star step hangs the larger neighbours of each node on the
smallest of its neighbourhood, a small-star step the node and its smaller neighbours; when neither moves an
edge, every node hangs on the first of its component. Rounds: O(log^2 n) proven, some log n seen. A task holds the
edges of one range, so memory does not grow with the corpus; only the edges of one node never part: 16 bytes each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from curator.dedup.near.candidates import CANDIDATE, GOLDEN, group_of
from curator.dedup.near.documents import Shelf
from curator.dedup.near.links import Links
from curator.run.corpus import Corpus
from curator.run.exchange import Exchange, range_of
from curator.schema import arrow_schema
from millrace import storage

EDGE = arrow_schema({"owner": "uint64", "other": "uint64"})
Groups = tuple[tuple[Shelf, ...], ...]


def find_by_stars(
    corpus: Corpus, links: Links, candidates: Exchange, groups: Groups, large: int, task_rows: int
) -> tuple[int, dict[int, int]]:
    """Deal (node, component) of every linked document to its group; return how many there are, and the sizes
    of components of more than `large` documents."""
    count = sum(corpus.map("counting links", _count, [(links, name) for name in links.names]))

    def step(name: str, function: Callable[[_Step], int], before: Exchange) -> tuple[Exchange, int]:
        after = corpus.exchange(name, 2 * count, task_rows)
        tasks = [_Step(before, number, after) for number in range(before.ranges)]
        moved = sum(corpus.map(name, function, tasks))
        storage.remove(before.folder)
        return after, moved

    edges = corpus.exchange("stars", 2 * count, task_rows)
    corpus.map("dealing links", _both_ways, [(links, name, edges) for name in links.names])
    rounds, moved = 0, 1
    while moved:
        rounds += 1
        edges, moved_large = step(f"large stars {rounds}", _large_star, edges)
        edges, moved_small = step(f"small stars {rounds}", _small_star, edges)
        moved = moved_large + moved_small
    edges, _ = step("components", _by_leader, edges)
    found = corpus.map("labelling", _label, [_Label(edges, n, candidates, groups, large) for n in range(edges.ranges)])
    storage.remove(edges.folder)
    return sum(n for n, _ in found), {component: size for _, sizes in found for component, size in sizes.items()}


@dataclass(frozen=True)
class _Step:
    before: Exchange
    number: int
    after: Exchange

    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return (owner, other, first of its group), edges ascending and each once."""
        table = self.before.read(self.number, EDGE)
        owner, other = table["owner"].to_numpy(), table["other"].to_numpy()
        order = np.lexsort((other, owner))
        owner, other = owner[order], other[order]
        fresh = np.append(True, (owner[1:] != owner[:-1]) | (other[1:] != other[:-1]))[: len(owner)]
        owner, other = owner[fresh], other[fresh]
        return owner, other, np.searchsorted(owner, owner)

    def write(self, owner: np.ndarray, other: np.ndarray) -> None:
        table = pa.table([owner, other], schema=EDGE)
        self.after.write(f"{self.number:010d}", table, range_of(owner * GOLDEN, self.after.ranges))


def _count(task: tuple[Links, str]) -> int:
    return len(task[0].read(task[1])[0])


def _both_ways(task: tuple[Links, str, Exchange]) -> None:
    links, name, edges = task
    a, b = links.read(name)
    owner = np.concatenate((a, b))
    table = pa.table([owner, np.concatenate((b, a))], schema=EDGE)
    edges.write(name.removesuffix(".arrow"), table, range_of(owner * GOLDEN, edges.ranges))


def _large_star(task: _Step) -> int:
    """Hang larger neighbours on the smallest of the neighbourhood; edges go to their larger end."""
    owner, other, first = task.edges()
    least = np.minimum(owner, other[first])
    larger = other > owner
    task.write(other[larger], least[larger])
    return int((least != owner)[larger].sum())


def _small_star(task: _Step) -> int:
    """Hang each node and its smaller neighbours on the smallest of these; edges go to both ends."""
    owner, other, first = task.edges()
    least = other[first]
    moved = other != least
    member = np.concatenate((owner[first == np.arange(len(owner))], other[moved]))
    leader = np.concatenate((least[first == np.arange(len(owner))], least[moved]))
    task.write(np.concatenate((member, leader)), np.concatenate((leader, member)))
    return int(moved.sum())


def _by_leader(task: _Step) -> int:
    """Deal the edges (member, leader) by leader."""
    owner, other, _ = task.edges()
    leads = other > owner
    task.write(owner[leads], other[leads])
    return 0


@dataclass(frozen=True)
class _Label:
    edges: Exchange
    number: int
    candidates: Exchange
    groups: Groups
    large: int


def _label(task: _Label) -> tuple[int, dict[int, int]]:
    leader, member, _ = _Step(task.edges, task.number, task.edges).edges()
    heads = np.unique(leader)
    nodes, labels = np.concatenate((heads, member)), np.concatenate((heads, leader))
    task.candidates.write(f"{task.number:010d}", pa.table([nodes, labels], schema=CANDIDATE),
                          group_of(nodes, task.groups))  # fmt: skip
    names, counts = np.unique(labels, return_counts=True)
    big = counts > task.large
    return len(nodes), dict(zip(names[big].tolist(), counts[big].tolist(), strict=True))
