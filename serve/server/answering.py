"""From completions that are wanted to what the client gets: whole, or as a stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

from serve.engine.request import Token, Wanted
from serve.server.answer.choice import Choice, Piece, Shown
from serve.server.answer.completion import usage
from serve.server.asked.common import Common
from serve.server.bridge import Bridge, Generation
from serve.server.checks import Checks, Messages
from serve.server.reply import Reply, compact
from serve.server.text.detokenize import Detokenizer
from serve.server.text.tokenizer import Tokenizer
from serve.server.ticket import Ticket

T = TypeVar("T")


class Form(Protocol):
    """Writes one kind of answer as OpenAI's JSON."""

    def whole(self, pieces: Sequence[Piece], counts: dict[str, int]) -> dict[str, Any]: ...

    def begin(self, number: int) -> list[dict[str, Any]]: ...

    def chunks(self, number: int, piece: Piece) -> list[dict[str, Any]]: ...

    def end(self, counts: dict[str, int]) -> dict[str, Any]: ...


class Answering:
    """The answer to one request. `held`: completions leave only when they are whole, as they do with output rails."""

    def __init__(
        self, common: Common, form: Form, bridge: Bridge, tokenizer: Tokenizer, checks: Checks, ticket: Ticket,
        reply: Reply, held: bool = False,
    ) -> None:  # fmt: skip
        self._common, self._form, self._bridge, self._tokenizer = common, form, bridge, tokenizer
        self._checks, self._ticket, self._reply = checks, ticket, reply
        self._record = ticket.record
        self._at_once = held or checks.holds or not common.stream

    async def run(
        self, wanted: Sequence[Wanted], said: Sequence[Messages], prompt: int, echoed: Sequence[str] | None = None
    ) -> None:
        """Draw the completions and send them.

        said: what each answers; prompt: tokens of all prompts; echoed: texts that stand before the completions.
        Raises Refusal, before anything is sent or in the midst of a stream.
        """
        self._record.prompt_tokens = prompt
        begins = [len(one) for one in echoed] if echoed else [0] * len(wanted)
        choices = [
            Choice(self._tokenizer, self._common.stop, self._common.logprobs is not None, self._at_once, begin)
            for begin in begins
        ]
        with self._ticket.tokens(prompt + sum(one.max_tokens for one in wanted)):
            async with Generation(self._bridge, wanted) as generation:
                if self._at_once:
                    pieces = await self._whole(generation, choices)
                else:
                    await self._streamed(generation, choices)
        if self._at_once:
            pieces = [await self._checks.answer(one, told, self._record) for one, told in zip(pieces, said)]
            if echoed:
                pieces = await asyncio.to_thread(self._echo, pieces, echoed, choices, wanted)
            await self._send(pieces)

    async def _whole(self, generation: Generation, choices: Sequence[Choice]) -> list[Piece]:
        parts: list[list[Piece]] = [[] for _ in choices]
        async for batch in self._pieces(generation, choices):
            for number, piece in batch:
                parts[number].append(piece)
        return [_joined(one) for one in parts]

    async def _streamed(self, generation: Generation, choices: Sequence[Choice]) -> None:
        await self._reply.stream()
        await self._events([one for number in range(len(choices)) for one in self._form.begin(number)])
        async for batch in self._pieces(generation, choices):
            await self._events([one for number, piece in batch for one in self._form.chunks(number, piece)])
        await self._end()

    async def _pieces(
        self, generation: Generation, choices: Sequence[Choice]
    ) -> AsyncIterator[list[tuple[int, Piece]]]:
        """Yield what can be sent, as it comes, until all completions have ended."""
        running = len(choices)
        firsts: dict[int, float] = {}
        while running:
            batch = []
            for number, told in await generation.news():
                choice = choices[number]
                before = choice.tokens
                piece = choice.take(told)
                drawn = choice.tokens - before
                self._record.drew(drawn)
                if drawn:
                    firsts.setdefault(number, time.perf_counter())
                if piece is None:
                    continue
                batch.append((number, piece))
                if piece.finish:
                    running -= 1
                    generation.end(number)  # one that a stop string ended still runs
                    self._ended(choice, piece, firsts.get(number))
            if batch:
                yield batch

    def _ended(self, choice: Choice, piece: Piece, first: float | None) -> None:
        self._record.finish.append(str(piece.finish))
        if first is not None and choice.tokens > 1:
            self._ticket.metrics.each.observe((time.perf_counter() - first) / (choice.tokens - 1))

    async def _send(self, pieces: Sequence[Piece]) -> None:
        if not self._common.stream:
            await self._reply.content(await self._apart(lambda: compact(self._form.whole(pieces, self._counts()))))
            return
        await self._reply.stream()
        for number, piece in enumerate(pieces):
            chunks = await self._apart(partial(self._form.chunks, number, piece))
            await self._events([*self._form.begin(number), *chunks])
        await self._end()

    async def _apart(self, form: Callable[[], T]) -> T:
        """Form an answer; one with logprobs, which may be megabytes, off the event loop."""
        return form() if self._common.logprobs is None else await asyncio.to_thread(form)

    async def _events(self, chunks: Sequence[dict[str, Any]]) -> None:
        if self._common.include_usage:  # only the last one has it, the others say so
            chunks = [one | {"usage": None} for one in chunks]
        await self._reply.events(chunks)

    async def _end(self) -> None:
        if self._common.include_usage:
            await self._reply.events([self._form.end(self._counts())])
        await self._reply.end()

    def _counts(self) -> dict[str, int]:
        return usage(self._record.prompt_tokens, self._record.tokens)

    def _echo(
        self, pieces: Sequence[Piece], texts: Sequence[str], choices: Sequence[Choice], wanted: Sequence[Wanted]
    ) -> list[Piece]:
        """Return completions with their prompts before them. Cost: a decoding of each token of each prompt."""
        made: list[Piece] = []
        prompt: tuple[Shown, ...] = ()
        before: Wanted | None = None
        for piece, text, choice, asked in zip(pieces, texts, choices, wanted):
            if before is None or asked.prompt is not before.prompt:  # those of one prompt follow each other
                prompt, before = tuple(self._prompt(choice.prompt, text)), asked
            shown = None if piece.shown is None else (*prompt, *piece.shown)
            made.append(replace(piece, text=text + piece.text, shown=shown, ids=(*asked.prompt.tolist(), *piece.ids)))
        return made

    def _prompt(self, tokens: Sequence[Token], text: str) -> list[Shown]:
        special = self._tokenizer.decode([one.id for one in tokens], special=True) == text
        growing = Detokenizer(lambda ids: self._tokenizer.decode(ids, special=special))
        shown, at = [], 0
        for one in tokens:
            shown.append(Shown(one, at))
            at += len(growing.add([one.id]))
        return shown


def _joined(pieces: Sequence[Piece]) -> Piece:
    return Piece(
        "".join(one.text for one in pieces), tuple(s for one in pieces for s in one.shown or ()),
        tuple(i for one in pieces for i in one.ids), pieces[-1].finish,
    )  # fmt: skip
