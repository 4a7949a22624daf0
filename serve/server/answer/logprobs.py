"""Log-probabilities in the forms that completions and chat completions have them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from serve.server.answer.choice import Shown
from serve.server.text.tokenizer import Tokenizer

LEAST = -9999.0  # stands for minus infinity, which JSON has not


def of_completion(shown: Sequence[Shown], tokenizer: Tokenizer) -> dict[str, Any]:
    """Return parallel lists. A token that is no whole character is written as its bytes: bytes:\\xe4."""
    return {
        "tokens": [_name(one.token.id, tokenizer) for one in shown],
        "token_logprobs": [finite(one.token.logprob) for one in shown],
        "top_logprobs": [
            None
            if one.token.logprob is None
            else {_name(token, tokenizer): finite(logprob) for token, logprob in one.token.top}
            for one in shown
        ],
        "text_offset": [one.offset for one in shown],
    }


def of_chat(shown: Sequence[Shown], tokenizer: Tokenizer) -> dict[str, Any]:
    """Return a list of tokens, each with the most likely ones."""

    def named(token: int, logprob: float | None) -> dict[str, Any]:
        text, raw = tokenizer.content(token)
        return {"token": text, "logprob": finite(logprob), "bytes": list(raw)}

    return {
        "content": [
            named(one.token.id, one.token.logprob) | {"top_logprobs": [named(*top) for top in one.token.top]}
            for one in shown
        ],
        "refusal": None,
    }


def finite(logprob: float | None) -> float | None:
    """Return a log-probability as JSON can hold it."""
    return logprob if logprob is None or math.isfinite(logprob) else LEAST


def _name(token: int, tokenizer: Tokenizer) -> str:
    text, raw = tokenizer.content(token)
    return "bytes:" + "".join(f"\\x{one:02x}" for one in raw) if "\ufffd" in text else text
