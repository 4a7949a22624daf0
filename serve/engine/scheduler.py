"""Who runs: first come, first served, into blocks and a budget of tokens a step.

A request is let in when the blocks of its prompt are free, with one to spare for each that runs; blocks for what it
draws are taken as it draws. When they run out, the one that was let in last gives its blocks back and waits at the
front of the queue: it is read again later, prompt and drawn tokens, and goes on with the same numbers. So nobody holds
room for the max_tokens that few completions reach, and the oldest always gets on: alone it fits, or it was refused.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from serve.engine.cache import Blocks
from serve.engine.sequence import Sequence
from serve.engine.settings import EngineSettings
from serve.engine.step import Chunk, Step


@dataclass(frozen=True)
class Part:
    """The tokens of one sequence in a step."""

    sequence: Sequence
    row: int  # of the first one in the step
    first: int  # its position
    count: int

    @property
    def ends(self) -> bool:
        """Whether the sequence has been read to its end after this step."""
        return self.first + self.count == self.sequence.length

    @property
    def of_prompt(self) -> int:
        """How many of the tokens are the prompt's."""
        return max(min(self.first + self.count, len(self.sequence.prompt)) - self.first, 0)


class Scheduler:
    """The sequences that wait and run. Not safe for threads: the engine holds its lock."""

    def __init__(self, settings: EngineSettings, blocks: Blocks):
        self.settings, self.blocks = settings, blocks
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self._taken: list[int] = []

    def plan(self) -> list[Part]:
        """Choose the tokens of the next step: one for each that draws, then parts of prompts, in order of arrival."""
        singles = [(sequence, 1) for sequence in self._drawing()]
        budget = self.settings.step_tokens - len(singles)
        chunks = []
        for sequence in self.running:
            if budget and not sequence.decodes:
                count = min(budget, sequence.length - sequence.read)
                chunks.append((sequence, count))
                self._name(sequence, count)
                budget -= count
        while budget and self.waiting and len(self.running) < self.settings.max_batch and self._let_in():
            sequence = self.running[-1]
            count = min(budget, sequence.length - sequence.read)
            chunks.append((sequence, count))
            self._name(sequence, count)
            budget -= count
        parts, row = [], 0
        # Chunks of one token are read as those that draw are.
        for sequence, count in sorted(singles + chunks, key=lambda one: one[1] > 1):
            parts.append(Part(sequence, row, sequence.read, count))
            row += count
        return parts

    def _drawing(self) -> list[Sequence]:
        """Return those with one token to read, each with a block for it; the youngest gives way where none is free."""
        drawing = []
        for sequence in list(self.running):
            if not sequence.decodes or not sequence.blocks:
                continue
            while sequence.blocks and sequence.length > len(sequence.blocks) * self.blocks.block_tokens:
                if self.blocks.free:
                    sequence.give(self._take(1))
                else:
                    self._give_way(self.running[-1])
            if sequence.blocks:
                drawing.append(sequence)
        return drawing

    def _take(self, count: int) -> list[int]:
        taken = self.blocks.take(count)
        self._taken += taken
        return taken

    def taken(self) -> list[int]:
        """Return the blocks that were taken since this was last asked: they hold what others left."""
        taken, self._taken = self._taken, []
        return taken

    def _give_way(self, sequence: Sequence) -> None:
        self.running.remove(sequence)
        self._release(sequence)
        sequence.read, sequence.told_prompt = 0, []
        self.waiting.appendleft(sequence)

    def _let_in(self) -> bool:
        """Give the first that waits the blocks of all its tokens, where they are free."""
        sequence = self.waiting[0]
        shared: list[int] = []
        if self.settings.share_prefixes and not sequence.waiting_for_prompt:
            shared = self.blocks.find(iter(sequence.names))
        need = -(-sequence.length // self.blocks.block_tokens) - len(shared)
        free = self.blocks.free - self.blocks.remembered(shared)
        if need + len(self.running) > free:
            return False
        self.waiting.popleft()
        self.blocks.hold(shared)
        sequence.give(shared + self._take(need))
        sequence.read = len(shared) * self.blocks.block_tokens
        self.running.append(sequence)
        return True

    def _name(self, sequence: Sequence, count: int) -> None:
        """Let others find the beginnings that will have been read after this step: in it keys are written first."""
        if self.settings.share_prefixes:
            size = self.blocks.block_tokens
            first, last = sequence.read // size, min((sequence.read + count) // size, len(sequence.names))
            for place in range(first, last):
                self.blocks.name(sequence.blocks[place], sequence.names[place])

    def end(self, sequence: Sequence) -> None:
        """Take a sequence out, wherever it is, and free its blocks."""
        if sequence.blocks:
            self.running.remove(sequence)
            self._release(sequence)
        else:
            self.waiting.remove(sequence)

    def _release(self, sequence: Sequence) -> None:
        self.blocks.release(sequence.blocks)
        sequence.blocks = []


def step_of(parts: list[Part], wanted: Iterable[int], block_tokens: int, nobodys: int) -> Step:
    """Lay a step out for the model. parts: those of one token first. wanted: rows whose logits are wanted.

    nobodys: the block that fills tables up.
    """
    counts = [part.count for part in parts]
    tables = np.full((len(parts), max(len(part.sequence.blocks) for part in parts)), nobodys, np.int64)
    for row, part in enumerate(parts):
        held = len(part.sequence.blocks)
        tables[row, :held] = part.sequence.table[:held]
    of = np.repeat(np.arange(len(parts)), counts)
    starts = np.array([part.first - part.row for part in parts])
    positions = np.arange(len(of)) + starts[of]
    cells = tables[of, positions // block_tokens] * block_tokens + positions % block_tokens
    tokens = [part.sequence.tokens(part.first, part.first + part.count) for part in parts]
    chunks = tuple(
        Chunk(row, part.row, part.row + part.count, part.first) for row, part in enumerate(parts) if part.count > 1
    )
    adapters = None
    if any(part.sequence.adapter >= 0 for part in parts):
        adapters = np.repeat([part.sequence.adapter for part in parts], counts)
    return Step(np.concatenate(tokens), positions, of, cells, tables, chunks, np.fromiter(wanted, np.int64), adapters)
