"""What single tokens stand for, and long texts off the event loop."""

import asyncio
import time

import numpy as np
import pytest
from transformers import AutoTokenizer

from serve.server.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(folder):
    made = Tokenizer(AutoTokenizer.from_pretrained(folder))
    yield made
    made.close()


def test_bytes_of_tokens_joined_are_the_texts_bytes(tokenizer):
    text = "the quick 中文 🙂 fox\n"
    (ids,) = asyncio.run(tokenizer.encode([text]))
    assert b"".join(tokenizer.content(int(one))[1] for one in ids) == text.encode()
    assert ids.dtype == np.int64


def test_a_long_text_does_not_hold_the_event_loop(tokenizer):
    async def longest_wait():
        waits, work = [], asyncio.ensure_future(tokenizer.encode(["the quick brown fox " * 40000]))
        while not work.done():
            begun = time.perf_counter()
            await asyncio.sleep(0.01)
            waits.append(time.perf_counter() - begun)
        return max(waits), sum(waits)

    longest, whole = asyncio.run(longest_wait())
    assert whole > 0.3, "the text is too short to tell"
    assert longest < whole / 3
