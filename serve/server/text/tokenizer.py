"""A model's tokenizer, as a server needs it: long texts off the event loop, and what single tokens stand for."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from serve.errors import ModelFolderError

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Tokenizer:
    """A fast tokenizer. Methods may be called from any thread.

    Encoding lets go of Python's lock (`encode_batch` does, `encode` does not), and it is done on threads of its own.
    """

    def __init__(self, tokenizer: Any, threads: int = 2) -> None:
        """Take a tokenizer of transformers. Raises ModelFolderError for one that is not a fast one."""
        import tokenizers

        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelFolderError("the model's tokenizer has no tokenizer.json, which serving needs")
        # A copy for each use: truncation and padding of the one that templates use are set as it goes.
        self._encoding = tokenizers.Tokenizer.from_str(backend.to_str())
        self._encoding.no_truncation()
        self._encoding.no_padding()
        self._decoding = tokenizers.Tokenizer.from_str(backend.to_str())
        self._pool = ThreadPoolExecutor(threads, "tokenizer")
        self._bytelevel = "ByteLevel" in json.dumps(json.loads(backend.to_str()).get("decoder"))
        self.vocabulary: int = backend.get_vocab_size(with_added_tokens=True)
        self.longest: int = max(map(len, backend.get_vocab(with_added_tokens=True)))  # characters of one token

    async def encode(self, texts: Sequence[str], special: bool = True) -> list[np.ndarray]:
        """Return each text's tokens, int64 (length,); `special`: with those that the tokenizer puts around a text."""
        made: list[np.ndarray] = await self.apart(self._encode, list(texts), special)
        return made

    async def apart(self, function: Any, *given: Any) -> Any:
        """Run a function on the tokenizer's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, functools.partial(function, *given))

    def decode(self, ids: Sequence[int], special: bool = False) -> str:
        """Return the text of tokens; special tokens are left out where not `special`."""
        return str(self._decoding.decode(list(ids), skip_special_tokens=not special))

    @functools.cached_property
    def special(self) -> frozenset[int]:
        """Return the ids of special tokens."""
        return frozenset(n for n, one in self._decoding.get_added_tokens_decoder().items() if one.special)

    @functools.lru_cache(maxsize=1 << 16)  # noqa: B019  a server has one tokenizer, for as long as it runs
    def content(self, token: int) -> tuple[str, bytes]:
        """Return what one token stands for by itself, as text and as bytes; the text may hold half characters."""
        name = self._decoding.id_to_token(token)
        if name is None:
            return "", b""
        if token in self._decoding.get_added_tokens_decoder():
            return name, name.encode()
        if found := BYTE.fullmatch(name):
            raw = bytes([int(found[1], 16)])
        elif self._bytelevel:
            raw = bytes(_bytes_of()[one] for one in name if one in _bytes_of())
        else:
            raw = name.replace("▁", " ").encode()
        return raw.decode(errors="replace"), raw

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _encode(self, texts: list[str], special: bool) -> list[np.ndarray]:
        made = self._encoding.encode_batch(texts, add_special_tokens=special)
        return [np.array(one.ids, np.int64) for one in made]


@functools.cache
def _bytes_of() -> dict[str, int]:
    """Return the bytes that characters of a byte-level vocabulary stand for: GPT-2's table."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [one for one in range(256) if one not in plain]
    return {chr(one): one for one in plain} | {chr(256 + n): one for n, one in enumerate(rest)}
