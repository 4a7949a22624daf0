"""A request that goes on to another server: its cost bounded, and no more in it than rails on the input read.

What the other server takes this one does not know. So limits are written into what is sent; and rails, which read
messages, tools and prompts, let only fields pass that hold no other text for a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace.config import did_you_mean
from serve.server.asked.common import Limits
from serve.server.asked.fields import shown, whole
from serve.server.refusal import Refusal

READ = {"prompt", "messages", "tools"}
# Words for the server, not for the model; and what ends an answer or weighs tokens.
WORDS = {
    "model", "stop", "stop_token_ids", "logit_bias", "stream_options", "user", "safety_identifier", "prompt_cache_key",
    "service_tier",
}  # fmt: skip
# Of these a number, true or false; whatever else they may be to another server is refused.
PLAIN = {
    "n", "best_of", "max_tokens", "max_completion_tokens", "min_tokens", "temperature", "top_p", "top_k", "min_p",
    "seed", "presence_penalty", "frequency_penalty", "repetition_penalty", "length_penalty", "ignore_eos", "stream",
    "echo", "logprobs", "top_logprobs", "return_token_ids", "parallel_tool_calls", "skip_special_tokens",
    "spaces_between_special_tokens", "include_stop_str_in_output", "add_special_tokens", "add_generation_prompt",
    "continue_final_message", "store", "priority",
}  # fmt: skip
ALLOWED: dict[str, tuple[Any, ...]] = {
    "tool_choice": ("auto", "none", "required"),
    "response_format": ({"type": "text"}, {"type": "json_object"}),
}
MESSAGE = {
    "role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "reasoning_content",
    "reasoning",
}  # fmt: skip


def bounded(body: Mapping[str, Any], limits: Limits, chat: bool) -> tuple[dict[str, Any], int]:
    """Return what is sent, without nulls and with a limit of tokens, and how many tokens a completion may have.

    A limit that is not given is OpenAI's 16 for completions (at most `limits.max_tokens`), and `limits.max_tokens` for
    conversations. Raises Refusal (400) for one past the limits, and for what makes more of a request than it says.
    """
    sent = {name: value for name, value in body.items() if value is not None}
    n = whole(1, limits.max_completions)(sent.get("n", 1), "n")
    if sent.get("best_of", n) != n or isinstance(sent.get("best_of"), bool):
        raise Refusal(400, f"best_of is {shown(sent['best_of'])}; it may be absent or n, {n}", "best_of")
    if not chat and "max_completion_tokens" in sent:
        raise Refusal(400, "max_completion_tokens is of conversations; completions have max_tokens", "max_tokens")
    given = [name for name in ("max_tokens", "max_completion_tokens") if name in sent]
    least = 0 if sent.get("echo") is True and not chat else 1
    most = {whole(least, limits.max_tokens)(sent[name], name) for name in given}
    if len(most) > 1:
        raise Refusal(400, "max_tokens and max_completion_tokens differ; give one of them", "max_tokens")
    if not given:
        most = {limits.max_tokens if chat else min(16, limits.max_tokens)}
        sent["max_tokens"] = max(most)
    drawn = most.pop()
    whole(0, drawn)(sent.get("min_tokens", 0), "min_tokens")
    return sent, drawn


def readable(body: Mapping[str, Any]) -> None:
    """Refuse (400) a request of which rails on the input would not read all that a model may."""
    for name, value in body.items():
        if name in PLAIN:
            fits = isinstance(value, int | float)
        elif name in ALLOWED:
            fits = value in ALLOWED[name]
        else:
            fits = name in READ | WORDS
        if not fits:
            told = f" as {shown(value)}" if name in PLAIN | set(ALLOWED) else did_you_mean(name, READ | WORDS | PLAIN)
            raise _unread(f"the field {shown(name)}{told}", name)
    for number, message in enumerate(body.get("messages") or ()):
        for name, value in message.items():
            if name not in MESSAGE:
                raise _unread(f"the field {shown(name)} of messages[{number}]", "messages")
            if name == "content" and isinstance(value, list):
                for part in value:
                    _part(part, f"messages[{number}].content")


def _part(part: Any, place: str) -> None:
    """Refuse a part of a message that is no text."""
    if isinstance(part, dict) and set(part) == {"type", "text"} and isinstance(part["text"], str):
        return
    kind = shown(part.get("type")) if isinstance(part, dict) else shown(part)
    raise _unread(f"a part of {place} of type {kind}, or with more than its text", "messages")


def _unread(what: str, field: str) -> Refusal:
    return Refusal(400, f"the rails of this server do not read {what}; with them it cannot go on", field[:64], "unread")
