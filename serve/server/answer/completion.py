"""OpenAI's JSON of completions."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

from serve.server.answer.choice import Piece
from serve.server.answer.logprobs import of_completion
from serve.server.asked.common import Common
from serve.server.text.tokenizer import Tokenizer


def usage(prompt: int, completion: int) -> dict[str, int]:
    """Return the counts of tokens."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


class CompletionForm:
    """Writes the answers to one request."""

    def __init__(self, model: str, common: Common, tokenizer: Tokenizer) -> None:
        self._common, self._tokenizer = common, tokenizer
        self._head = {"id": f"cmpl-{secrets.token_hex(12)}", "object": "text_completion", "created": int(time.time()),
                      "model": model}  # fmt: skip

    def whole(self, pieces: Sequence[Piece], counts: dict[str, int]) -> dict[str, Any]:
        """Return the answer that is not streamed."""
        return self._head | {"choices": [self._choice(n, one) for n, one in enumerate(pieces)], "usage": counts}

    def begin(self, number: int) -> list[dict[str, Any]]:
        """Return the chunks before a completion's first piece."""
        return []

    def chunks(self, number: int, piece: Piece) -> list[dict[str, Any]]:
        """Return a piece as chunks of a stream."""
        return [self._head | {"choices": [self._choice(number, piece)]}]

    def end(self, counts: dict[str, int]) -> dict[str, Any]:
        """Return the chunk with the usage."""
        return self._head | {"choices": [], "usage": counts}

    def _choice(self, number: int, piece: Piece) -> dict[str, Any]:
        wanted = self._common.logprobs is not None and piece.shown is not None
        told = of_completion(piece.shown or (), self._tokenizer) if wanted else None
        made = {"index": number, "text": piece.text, "logprobs": told, "finish_reason": piece.finish}
        return made | ({"token_ids": list(piece.ids)} if self._common.token_ids else {})
