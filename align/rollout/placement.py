"""Which ranks hold which models: ranges such as 0-3,6 read and checked, and a process group for each set of ranks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from align.config import Placement
from align.errors import AlignSettingsError
from millrace.config import did_you_mean
from pretrain.run.place import Place

ROLES = ("actor", "critic", "reference", "reward", "generate")
PART = re.compile(r"\d+(-\d+)?")


def read(text: str, role: str, world: int) -> tuple[int, ...]:
    """Return the ranks of ranges such as "0-3,6", in order; "": all. Raises AlignSettingsError."""
    if not text.strip():
        return tuple(range(world))
    ranks: list[int] = []
    for part in text.replace(" ", "").split(","):
        if not PART.fullmatch(part):
            raise AlignSettingsError(f"placement.{role} is {text!r}; expected ranges of ranks such as 0-3,6")
        first, _, last = part.partition("-")
        one = range(int(first), int(last or first) + 1)
        if not one:
            raise AlignSettingsError(f"placement.{role} {text!r}: the range {part} is empty")
        if one[-1] >= world:
            raise AlignSettingsError(f"placement.{role} {text!r} names rank {one[-1]}; there are ranks 0-{world - 1}")
        twice = set(one) & set(ranks)
        if twice:
            raise AlignSettingsError(f"placement.{role} {text!r} names rank {min(twice)} twice")
        ranks.extend(one)
    return tuple(sorted(ranks))


def roles(placement: Placement, world: int, asynchronous: bool = False) -> dict[str, tuple[int, ...]]:
    """Return the ranks of every role. Raises AlignSettingsError.

    asynchronous: what generates works while the others train, so its ranks hold no other model.
    """
    held = {role: read(getattr(placement, role), role, world) for role in ROLES}
    if asynchronous:
        if not placement.generate.strip():
            raise AlignSettingsError(
                "rollouts.asynchronous needs placement.generate: ranks that complete prompts while the others train"
            )
        for role in ROLES[:-1]:
            shared = set(held["generate"]) & set(held[role])
            if shared:
                raise AlignSettingsError(
                    f"rollouts.asynchronous: placement.generate {placement.generate!r} and placement.{role} "
                    f"{getattr(placement, role) or 'all'!r} share rank {min(shared)}, which cannot do both at once"
                )
    return held


def describe(held: Mapping[str, tuple[int, ...]], world: int) -> list[str]:
    """Say which roles ranks hold, a line for those that hold the same; nothing where all hold all."""
    by_roles: dict[tuple[str, ...], list[int]] = {}
    for rank in range(world):
        by_roles.setdefault(tuple(role for role, ranks in held.items() if rank in ranks), []).append(rank)
    if list(by_roles) == [tuple(held)]:
        return []
    return [
        f"ranks {ranges(tuple(ranks))}: {', '.join(names) or 'nothing'}{', in turn' if len(names) > 1 else ''}"
        for names, ranks in by_roles.items()
    ]


def ranges(ranks: tuple[int, ...]) -> str:
    """Return ranks as `read` reads them: (0, 1, 2, 5) -> 0-2,5."""
    parts: list[list[int]] = []
    for rank in ranks:
        if parts and parts[-1][-1] == rank - 1:
            parts[-1][1:] = [rank]
        else:
            parts.append([rank])
    return ",".join("-".join(map(str, part)) for part in parts)


@dataclass(frozen=True)
class Placed:
    """Where each role is, and the process groups to talk in, on one rank of `world`."""

    held: Mapping[str, tuple[int, ...]]  # role -> ranks, in order
    rank: int = 0
    world: int = 1
    groups: Mapping[tuple[int, ...], Any] = field(default_factory=dict)  # ranks -> torch's group; not of all ranks

    def ranks(self, role: str) -> tuple[int, ...] | None:
        """Return the ranks of a role; None: all."""
        ranks = self._of(role)
        return None if len(ranks) == self.world else ranks

    def holds(self, role: str) -> bool:
        """Say whether this rank holds a part of a role."""
        return self.rank in self._of(role)

    def group(self, role: str) -> Any:
        """Return a role's process group; None: torch's default one, of all ranks."""
        return self.groups.get(self._of(role))

    @property
    def workers(self) -> int:
        """Return how many ranks complete prompts."""
        return len(self.held["generate"])

    @property
    def source(self) -> int:
        """Return the rank that gives the actor's weights away."""
        return self.held["actor"][0]

    @property
    def takers(self) -> tuple[int, ...]:
        """Return the ranks that complete prompts and have no part of the actor: they get its weights sent."""
        return tuple(rank for rank in self.held["generate"] if rank not in self.held["actor"])

    def _of(self, role: str) -> tuple[int, ...]:
        if role not in self.held:
            raise AlignSettingsError(
                f"no role is called {role}.{did_you_mean(role, self.held)} Roles: {', '.join(ROLES)}"
            )
        return self.held[role]


def placed(placement: Placement, place: Place, asynchronous: bool = False) -> Placed:
    """Make the process groups of a placement; called by all ranks together, once torch's default group is there.

    There is one for each role that is not on all ranks, and one of the actor's first rank with those it sends weights.
    Every rank makes all of them, in the same order: torch's new_group is a collective of the whole job.
    """
    held = roles(placement, place.world, asynchronous)
    bare = Placed(held, place.rank, place.world)
    wanted = {ranks for ranks in held.values() if len(ranks) < place.world}
    if bare.takers:
        wanted.add(sending(bare))
    groups: dict[tuple[int, ...], Any] = {}
    if place.world > 1:
        import torch.distributed as dist

        groups = {ranks: dist.new_group(list(ranks)) for ranks in sorted(wanted)}
    return Placed(held, place.rank, place.world, groups)


def sending(placed: Placed) -> tuple[int, ...]:
    """Return the ranks among which weights are sent."""
    return tuple(sorted((placed.source, *placed.takers)))
