"""OpenAI's JSON of chat completions."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from serve.server.answer.choice import Piece
from serve.server.answer.logprobs import of_chat
from serve.server.asked.chat import ChatAsked
from serve.server.text import calls
from serve.server.text.tokenizer import Tokenizer


class ChatForm:
    """Writes the answers to one request. Where tools are offered a piece is a whole answer: it may be a call."""

    def __init__(self, model: str, asked: ChatAsked, tokenizer: Tokenizer) -> None:
        self._asked, self._tokenizer = asked, tokenizer
        self._id, self._created, self._model = f"chatcmpl-{secrets.token_hex(12)}", int(time.time()), model

    def whole(self, pieces: Sequence[Piece], counts: dict[str, int]) -> dict[str, Any]:
        """Return the answer that is not streamed."""
        choices = []
        for number, piece in enumerate(pieces):
            piece, called = self._called(piece)
            content = None if called and not piece.text else piece.text
            message = {"role": "assistant", "content": content, "refusal": None}
            choices.append(self._choice(number, piece, "message", message | ({"tool_calls": called} if called else {})))
        return self._head("chat.completion") | {"choices": choices, "usage": counts}

    def begin(self, number: int) -> list[dict[str, Any]]:
        """Return the chunks before a completion's first piece."""
        return [self._chunk(number, Piece(""), {"role": "assistant", "content": ""})]

    def chunks(self, number: int, piece: Piece) -> list[dict[str, Any]]:
        """Return a piece as chunks of a stream."""
        piece, called = self._called(piece)
        made = []
        if piece.text or piece.shown:
            made.append(self._chunk(number, replace(piece, finish=None), {"content": piece.text}))
        if called:
            numbered = [{"index": n, **one} for n, one in enumerate(called)]
            made.append(self._chunk(number, Piece(""), {"tool_calls": numbered}))
        if piece.finish:
            ids = () if made else piece.ids
            made.append(self._chunk(number, Piece("", (), ids, piece.finish), {}))
        return made

    def end(self, counts: dict[str, int]) -> dict[str, Any]:
        """Return the chunk with the usage."""
        return self._head("chat.completion.chunk") | {"choices": [], "usage": counts}

    def _called(self, piece: Piece) -> tuple[Piece, list[dict[str, Any]]]:
        """Return a whole answer without its calls, and these; an answer that was cut off makes none."""
        if not self._asked.tools or piece.finish != "stop":
            return piece, []
        text, found = calls.find(piece.text, self._asked.offered)
        if not found:
            return piece, []
        made = [
            {"id": f"call_{secrets.token_hex(12)}", "type": "function",
             "function": {"name": one.name, "arguments": one.arguments}}
            for one in (found if self._asked.parallel_calls else found[:1])
        ]  # fmt: skip
        return replace(piece, text=text, finish="tool_calls"), made

    def _chunk(self, number: int, piece: Piece, delta: dict[str, Any]) -> dict[str, Any]:
        return self._head("chat.completion.chunk") | {"choices": [self._choice(number, piece, "delta", delta)]}

    def _choice(self, number: int, piece: Piece, name: str, value: dict[str, Any]) -> dict[str, Any]:
        wanted = self._asked.common.logprobs is not None and piece.shown is not None
        told = wanted and (piece.shown or name == "message")
        made = {
            "index": number, name: value, "finish_reason": piece.finish,
            "logprobs": of_chat(piece.shown or (), self._tokenizer) if told else None,
        }  # fmt: skip
        return made | ({"token_ids": list(piece.ids)} if self._asked.common.token_ids else {})

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._model}
