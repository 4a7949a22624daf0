"""The front before an engine of this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from align.data.chat import Chat
from align.data.record import Message, Unfit
from align.errors import DataError
from millrace.config import did_you_mean
from serve.engine.request import Wanted
from serve.server.answer.chat import ChatForm
from serve.server.answer.completion import CompletionForm, usage
from serve.server.answering import Answering
from serve.server.asked import chat, completion, score
from serve.server.asked.chat import turned
from serve.server.asked.common import Common, Limits
from serve.server.asked.completion import CompletionAsked, Prompt
from serve.server.bridge import Bridge, Generation
from serve.server.checks import Checks
from serve.server.refusal import Refusal
from serve.server.reply import Reply
from serve.server.text.tokenizer import Tokenizer
from serve.server.ticket import Ticket

GREEDY = 1e-5  # temperatures below are 0: their logits would be no numbers


@dataclass(frozen=True)
class Named:
    """The model that is served: its name, how its texts become tokens, and what ends a completion."""

    name: str
    tokenizer: Tokenizer
    chat: Chat | None
    no_chat: str  # why there is none
    ends: tuple[int, ...]


class Local:
    """Answers by an engine."""

    def __init__(self, named: Named, bridge: Bridge, limits: Limits, max_prompt_tokens: int, checks: Checks) -> None:
        self._named, self._bridge, self._engine, self._limits = named, bridge, bridge.engine, limits
        self._max_prompt, self._checks, self._created = max_prompt_tokens, checks, int(time.time())

    async def models(self) -> list[dict[str, Any]]:
        """List the model and its adapters."""
        own = {"object": "model", "created": self._created, "owned_by": "millrace", "kind": self._engine.kind,
               "max_model_len": self._engine.positions}  # fmt: skip
        name = self._named.name
        return [{"id": name, **own}, *({"id": one, **own, "parent": name} for one in self._engine.adapters)]

    async def completion(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Answer POST /v1/completions."""
        asked = completion.read(body, self._limits)
        model, adapter = self._chosen(asked.common.model, ticket, "language")
        ticket.record.stream = asked.common.stream
        async with ticket.places(asked.completions):
            tokens = await self._tokens(asked.prompts)
            wanted = self._completions(asked, tokens, adapter)  # what is too long is so before rails read it
            prompts = [await self._checked(one, ticket) for one in asked.prompts]
            if any(left is not one for left, one in zip(prompts, asked.prompts)):
                tokens = await self._tokens(prompts)
                wanted = self._completions(asked, tokens, adapter)
            texts = (
                [await self._text(one) for one in prompts] if asked.echo or self._checks.holds else [""] * len(prompts)
            )
            answering = Answering(
                asked.common, CompletionForm(model, asked.common, self._named.tokenizer), self._bridge,
                self._named.tokenizer, self._checks, ticket, reply,
            )  # fmt: skip
            each = [one for one in texts for _ in range(asked.common.n)]
            said = [[{"role": "user", "content": one}] for one in each]
            echoed = each if asked.echo else None
            await answering.run(wanted, said, sum(map(len, tokens)), echoed)

    async def chat(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Answer POST /v1/chat/completions."""
        asked = chat.read(body, self._limits)
        model, adapter = self._chosen(asked.common.model, ticket, "language")
        ticket.record.stream = asked.common.stream
        async with ticket.places(asked.common.n):
            tokens = await self._named.tokenizer.apart(self._rendered, asked.messages, asked.tools)
            wanted = self._wanted(asked.common, tokens, adapter)  # what is too long is so before rails read it
            messages, tools = await self._checks.conversation(asked.messages, asked.tools, ticket.record)  # type: ignore[arg-type]
            if (tuple(messages), tuple(tools)) != (asked.messages, asked.tools):
                asked = replace(asked, messages=tuple(messages), tools=tuple(tools))
                tokens = await self._named.tokenizer.apart(self._rendered, asked.messages, asked.tools)
                wanted = self._wanted(asked.common, tokens, adapter)
            answering = Answering(
                asked.common, ChatForm(model, asked, self._named.tokenizer), self._bridge, self._named.tokenizer,
                self._checks, ticket, reply, held=bool(asked.tools),
            )  # fmt: skip
            await answering.run(wanted, [messages] * asked.common.n, len(tokens))

    async def score(self, body: dict[str, Any], ticket: Ticket, reply: Reply) -> None:
        """Answer POST /v1/score."""
        asked = score.read(body, self._limits)
        model, _ = self._chosen(asked.model, ticket, "reward")
        async with ticket.places(asked.completions):
            sequences = await self._judged(asked.texts, asked.conversations)
            texts = [await self._checks.text(one, ticket.record) for one in asked.texts]
            talks = [
                tuple((await self._checks.conversation(one, (), ticket.record))[0])  # type: ignore[arg-type]
                for one in asked.conversations
            ]
            if (tuple(texts), tuple(talks)) != (asked.texts, asked.conversations):
                sequences = await self._judged(texts, talks)
            counted = sum(map(len, sequences))
            ticket.record.prompt_tokens = counted
            with ticket.tokens(counted):
                scores = await self._scores(sequences)
            data = [{"object": "score", "index": number, "score": one} for number, one in enumerate(scores)]
            await reply.json({"object": "list", "model": model, "data": data, "usage": usage(counted, 0)})

    async def health(self) -> str:
        """Return why the engine stopped, where it did."""
        return self._bridge.failure

    def describe(self) -> list[tuple[str, str]]:
        """Say what is served."""
        named, engine = self._named, self._engine
        told = [
            ("model", f"{named.name}, a {engine.kind} model"),
            ("context", f"{engine.positions} tokens of prompt and completion"),
        ]
        if engine.adapters:
            told.append(("adapters", ", ".join(engine.adapters)))
        if named.chat is None:
            told.append(("chat", f"no: {named.no_chat}"))
        return told

    async def close(self) -> None:
        """Stop the engine and the threads."""
        await asyncio.to_thread(self._engine.close)
        self._checks.close()
        self._named.tokenizer.close()

    def _chosen(self, name: str, ticket: Ticket, kind: str) -> tuple[str, str]:
        """Return the name of the model asked for, and its adapter's. Raises Refusal."""
        named = self._named.name
        there = (named, *self._engine.adapters)
        if name and name not in there:
            raise Refusal(
                404, f"there is no model {name[:80]!r}.{did_you_mean(name, there)} Models: {', '.join(there)}", "model",
                "model_not_found",
            )  # fmt: skip
        ticket.record.model = name or named
        if self._engine.kind != kind:
            does = "scores, by /v1/score" if kind == "language" else "completions, by /v1/chat/completions"
            raise Refusal(400, f"{named} is a {self._engine.kind} model: it gives {does}", "model", "wrong_kind")
        return name or named, name if name in self._engine.adapters else ""

    async def _checked(self, prompt: Prompt, ticket: Ticket) -> Prompt:
        """Return a prompt as rails let it pass: itself where nothing was changed, so that tokens stay tokens."""
        if not self._checks.guards_input:
            return prompt
        text = await self._text(prompt)
        left = await self._checks.text(text, ticket.record)
        return prompt if left == text else left

    async def _tokens(self, prompts: Sequence[Prompt]) -> list[np.ndarray]:
        for one in prompts:
            if isinstance(one, str):
                self._short(len(one))
        texts = [one for one in prompts if isinstance(one, str)]
        made = iter(await self._named.tokenizer.encode(texts) if texts else ())
        return [next(made) if isinstance(one, str) else one for one in prompts]

    async def _text(self, prompt: Prompt) -> str:
        if isinstance(prompt, str):
            return prompt
        return str(await self._named.tokenizer.apart(self._decoded, prompt))

    def _decoded(self, prompt: np.ndarray) -> str:
        return self._named.tokenizer.decode(prompt.tolist(), special=True)

    def _completions(self, asked: CompletionAsked, tokens: Sequence[np.ndarray], adapter: str) -> list[Wanted]:
        asks = asked.echo and asked.common.logprobs is not None
        return [
            replace(one, prompt_logprobs=asks) for row in tokens for one in self._wanted(asked.common, row, adapter)
        ]

    def _rendered(self, messages: Any, tools: Any) -> np.ndarray:
        """Return a conversation's tokens, on a thread of the tokenizer's."""
        talk = self._turns(messages, "answers")
        return self._fitting(lambda chat: chat.prompt(talk, tools))

    def _learnt(self, messages: Any) -> np.ndarray:
        """Return the tokens of a conversation that ends with an answer, as `_rendered` does."""
        talk = self._turns(messages, "reads")
        return self._fitting(lambda chat: chat.masked(talk).tokens)

    def _turns(self, messages: Any, does: str) -> list[Message]:
        """Return turns of no more than could fit. Raises Refusal."""
        named, positions = self._named, self._engine.positions
        if named.chat is None:
            raise Refusal(400, f"{named.name} {does} no conversations: {named.no_chat}", "messages")
        if len(messages) > positions:
            raise self._long(f"the {len(messages):,} messages are more than {positions:,} tokens")
        talk = [turned(one, f"messages[{number}]") for number, one in enumerate(messages)]
        self._short(sum(len(one.content) for one in talk))
        return talk

    def _fitting(self, make: Callable[[Chat], np.ndarray]) -> np.ndarray:
        assert self._named.chat is not None
        try:
            return make(self._named.chat)
        except Unfit as unfit:
            raise Refusal(400, f"messages: {unfit.reason}, {unfit.detail}", "messages") from None
        except DataError as error:
            raise Refusal(400, str(error), "messages") from None

    async def _judged(self, texts: Sequence[str], talks: Sequence[Any]) -> list[np.ndarray]:
        """Return the sequences that are to be judged, each of which fits."""
        sequences = await self._tokens(texts)
        sequences += [await self._named.tokenizer.apart(self._learnt, one) for one in talks]
        for one in sequences:
            self._fits(len(one), 0)
        return sequences

    async def _scores(self, sequences: Sequence[np.ndarray]) -> list[float]:
        scores: dict[int, float] = {}
        async with Generation(self._bridge, [Wanted(one, 0) for one in sequences]) as generation:
            while len(scores) < len(sequences):
                for number, told in await generation.news():
                    if told.finish == "cancelled":
                        raise Refusal(503, "the engine was stopped")
                    if told.score is None:
                        raise Refusal(500, told.error or "the engine failed")
                    scores[number] = told.score
        return [scores[number] for number in range(len(sequences))]

    def _short(self, characters: int) -> None:
        """Refuse, before it is tokenised, a text that cannot fit however long its tokens are."""
        fits = self._engine.positions * self._named.tokenizer.longest
        if characters > fits:
            raise self._long(f"the prompt's {characters:,} characters are more than {self._engine.positions:,} tokens")

    def _fits(self, prompt: int, drawn: int) -> None:
        most = self._max_prompt or self._engine.positions
        if not prompt:
            raise Refusal(400, "the prompt has no tokens", "prompt")
        if prompt > most:
            raise self._long(f"the prompt has {prompt:,} tokens; at most {most:,} are read")
        if prompt + drawn > self._engine.positions:
            positions = self._engine.positions
            raise self._long(
                f"a prompt of {prompt:,} tokens and max_tokens {drawn:,} are {prompt + drawn:,}; the model takes "
                f"{positions:,} together"
            )

    @staticmethod
    def _long(message: str) -> Refusal:
        return Refusal(400, message, "prompt", "context_length_exceeded")

    def _wanted(self, common: Common, prompt: np.ndarray, adapter: str) -> list[Wanted]:
        """Return the completions of one prompt. Raises Refusal for one that does not fit."""
        room = self._engine.positions - len(prompt)
        drawn = max(1, min(self._limits.max_tokens, room)) if common.max_tokens is None else common.max_tokens
        self._fits(len(prompt), drawn)
        for token in [one for one, _ in common.drawing.logit_bias] + list(common.stop_ids):
            if token >= self._engine.vocabulary:
                field = "stop_token_ids" if token in common.stop_ids else "logit_bias"
                raise Refusal(400, f"{field} has token {token}; the model has {self._engine.vocabulary}", field)
        stop = tuple(dict.fromkeys((*(() if common.ignore_end else self._named.ends), *common.stop_ids)))
        temperature = common.drawing.temperature if common.drawing.temperature >= GREEDY else 0.0
        return [
            Wanted(prompt, drawn, replace(common.drawing, seed=common.seed(number), temperature=temperature), stop,
                   common.logprobs or 0, adapter=adapter)
            for number in range(common.n)
        ]  # fmt: skip
