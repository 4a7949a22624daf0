"""A step from its parts to what each sequence is told of it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from serve.engine.cache import Cache
from serve.engine.decoder import Decoder
from serve.engine.request import Token, Told
from serve.engine.sampler import Row, draw, top
from serve.engine.scheduler import Part, step_of
from serve.engine.sequence import Sequence

LOGITS_BYTES = 64 << 20  # of a prompt's log-probabilities computed at once
NOT_NUMBERS = "the model's logits are no numbers"


def answer(parts: list[Part], decoder: Decoder, cache: Cache) -> list[tuple[Sequence, Told]]:
    """Run a step, note in each sequence what was read and drawn, and return what is to be told."""
    drawing = [part for part in parts if part.ends and (part.sequence.scored or part.sequence.wanted.max_tokens)]
    asked = [part for part in parts if part.sequence.waiting_for_prompt]
    rows = [part.row + part.count - 1 for part in drawing]
    for part in asked:
        rows += range(part.row, part.row + _targets(part))
    hidden = decoder.hidden(step_of(parts, rows, cache.block_tokens, cache.blocks), cache)
    wrong = _read_prompts(asked, hidden[len(drawing) :], decoder)
    told: dict[int, dict[str, Any]] = {part.sequence.number: {} for part in parts}
    for part in parts:
        part.sequence.read = part.first + part.count
        if part.ends and part.sequence.waiting_for_prompt:
            told[part.sequence.number]["prompt"] = tuple(part.sequence.told_prompt)
            part.sequence.waiting_for_prompt = False
        if part.ends and not part.sequence.wanted.max_tokens:
            told[part.sequence.number]["finish"] = "length"
    if drawing:
        logits = decoder.logits(hidden[: len(drawing)])
        if drawing[0].sequence.scored:
            _score(drawing, logits, told)
        else:
            _draw(drawing, logits, told)
    for number in wrong:
        told[number] = {"finish": "error", "error": NOT_NUMBERS}
    return [(part.sequence, Told(**told[part.sequence.number])) for part in parts if told[part.sequence.number]]


def _draw(drawing: list[Part], logits: Tensor, told: dict[int, dict[str, Any]]) -> None:
    sequences = [part.sequence for part in drawing]
    drawn = draw(logits, [Row(one.wanted.drawing, one.drawn, one.wanted.top_logprobs) for one in sequences])
    for one, token, logprob, most in zip(sequences, drawn.tokens.tolist(), drawn.logprobs.tolist(), drawn.top):
        if logprob != logprob or abs(logprob) == float("inf"):
            told[one.number] = {
                "finish": "error",
                "error": f"{NOT_NUMBERS} at token {len(one.drawn)} of the completion",
            }
            continue
        one.drawn.append(token)
        finish = "stop" if token in one.wanted.stop else "length" if len(one.drawn) == one.wanted.max_tokens else None
        told[one.number] |= {"tokens": (Token(token, logprob, most),), "finish": finish}


def _score(drawing: list[Part], logits: Tensor, told: dict[int, dict[str, Any]]) -> None:
    for part, score in zip(drawing, logits[:, 0].tolist()):
        if math.isfinite(score):
            told[part.sequence.number]["score"] = score
        else:
            told[part.sequence.number] = {"finish": "error", "error": f"the model's score is {score}, no number"}


def _targets(part: Part) -> int:
    """Return how many tokens of a part are followed by a token of the prompt."""
    return max(min(part.count, len(part.sequence.prompt) - 1 - part.first), 0)


def _read_prompts(asked: list[Part], hidden: Tensor, decoder: Decoder) -> list[int]:
    """Note the log-probabilities of prompts' tokens; return the numbers of those whose are none."""
    wrong, at = [], 0
    slab = max(1, LOGITS_BYTES // (4 * len(decoder.weights.embedding)))
    for part in asked:
        sequence, count = part.sequence, _targets(part)
        if part.first == 0:
            sequence.told_prompt = [Token(int(sequence.prompt[0]), None)]
        for start in range(0, count, slab):
            stop = min(start + slab, count)
            logits = decoder.logits(hidden[at + start : at + stop])
            place = part.first + start + 1
            ids = sequence.prompt[place : place + stop - start]
            total = logits.logsumexp(-1)
            found = logits.gather(-1, torch.from_numpy(ids).to(logits.device)[:, None])[:, 0] - total
            most = top(logits, total, [sequence.wanted.top_logprobs] * len(ids))
            values = found.tolist()
            if any(value != value for value in values):
                wrong.append(sequence.number)
            sequence.told_prompt += map(Token, ids.tolist(), values, most)
        at += count
    return wrong
