"""Decoding with a cache of keys and values, on a model's own weights and its own layers.

What layers pass on as `attention_mask` is a `Cache` here, and `DocumentAttention` asks it. Tokens always come as one
row, as in training: a prompt after another at first, then a token of each sequence. So prompts of any lengths need no
padding, and tensor, sequence and pipeline parallelism cut a row as they always do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.tensor_parallel import gather_from_tensor_model_parallel_region
from torch.nn.functional import scaled_dot_product_attention


class Cache:
    """Keys and values of `rows` sequences of up to `length` tokens, of this rank's heads and layers.

    Memory: 2 x layers x key heads x head size x rows x length numbers of a rank's share, from the first token on.
    """

    def __init__(self, rows: int, length: int):
        self.rows, self.length = rows, length
        self.filled = torch.zeros(rows, dtype=torch.int64)  # tokens of each sequence that are kept
        self._kept: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # layer -> (rows, heads, length, d) twice
        self._row = self._at = torch.zeros(0, dtype=torch.int64)  # of the real tokens of this pass
        self._bounds: torch.Tensor | None = None  # of prompts; None: a token a sequence
        self._mask: torch.Tensor | None = None

    def expect(self, lengths: torch.Tensor, total: int, device: Any) -> None:
        """Tell how many tokens of each sequence the next pass brings: prompts, or one each; `total` with padding."""
        first = not int(self.filled.max())
        counts = lengths.tolist()
        self._row = torch.repeat_interleave(torch.arange(self.rows), lengths).to(device)
        self._at = torch.cat([torch.arange(n) + int(f) for n, f in zip(counts, self.filled)]).to(device)
        self.filled = self.filled + lengths
        self._bounds, self._mask = None, None
        if first:
            ends = lengths.cumsum(0).tolist()
            bounds = [0, *ends] + ([total] if ends[-1] < total else [])
            self._bounds = torch.tensor(bounds, dtype=torch.int32, device=device)
        else:
            longest = int(self.filled.max())
            self._mask = (torch.arange(longest) < self.filled[:, None]).to(device)[:, None, None]

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with some of the sequences only."""
        self.rows, self.filled = len(rows), self.filled[rows]
        self._kept = {n: (k[rows.to(k.device)], v[rows.to(v.device)]) for n, (k, v) in self._kept.items()}

    def attend(self, attention: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Keep this pass's keys and values and attend to all that is kept; (N, 1, heads, d) -> (N, 1, heads x d)."""
        layer, real = attention.layer_number, len(self._row)
        if layer not in self._kept:
            shape = (self.rows, key.shape[2], self.length, key.shape[3])
            self._kept[layer] = (key.new_zeros(shape), value.new_zeros(shape))
        for kept, new in zip(self._kept[layer], (key, value)):
            kept[self._row, :, self._at] = new[:real, 0]
        if self._bounds is not None:
            return attention(query, key, value, self._bounds)  # type: ignore[no-any-return]
        assert self._mask is not None
        k, v = (kept[:, :, : self._mask.shape[-1]] for kept in self._kept[layer])
        q = query[:real].transpose(1, 2)  # (rows, heads, 1, d)
        out = scaled_dot_product_attention(
            q, k, v, self._mask, scale=attention.scale, enable_gqa=q.shape[1] != k.shape[1]
        )
        made = query.new_zeros(query.shape)
        made[:real] = out.transpose(1, 2)
        return made.flatten(2)


class Decoder:
    """Logits of the next tokens of several sequences, pass after pass. Every rank of the model calls it alike.

    Nothing is computed twice; a pass goes through the stages of the pipeline one after the other.
    """

    def __init__(self, engine: Any, prompts: Sequence[Any], room: int):
        """Begin with prompts, int64 (length,) each; `room`: tokens that may follow."""
        self._engine = engine
        self._device = torch.cuda.current_device()
        self._prompts = [torch.as_tensor(prompt) for prompt in prompts]
        lengths = [len(prompt) for prompt in self._prompts]
        self._caches = [Cache(len(lengths), max(lengths) + room) for _ in engine.chunks]
        for chunk in engine.models:
            chunk.eval()
        engine.settle()

    def prompts(self) -> torch.Tensor | None:
        """Return float32 logits (sequences, vocabulary) of the tokens after the prompts; None but on the last stage."""
        lengths = torch.tensor([len(prompt) for prompt in self._prompts])
        positions = torch.cat([torch.arange(n) for n in lengths.tolist()])
        return self._pass(torch.cat(self._prompts), positions, lengths)

    def step(self, tokens: torch.Tensor) -> torch.Tensor | None:
        """Add a token to each sequence, int64 (sequences,); return logits as `prompts` does."""
        filled = self._caches[0].filled
        return self._pass(tokens.cpu(), filled.clone(), torch.ones_like(filled))

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with some of the sequences, int64 indexes, in their order."""
        for cache in self._caches:
            cache.keep(rows)

    @torch.no_grad()
    def _pass(self, tokens: torch.Tensor, positions: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor | None:
        config, model = self._engine.config, self._engine.settings.model
        multiple = config.tensor_model_parallel_size if config.sequence_parallel else 1
        padding = -len(tokens) % multiple
        row = torch.nn.functional.pad(torch.stack([tokens, positions]), (0, padding)).to(self._device)[:, None]
        for cache in self._caches:
            cache.expect(lengths, len(tokens) + padding, self._device)
        last = (lengths.cumsum(0) - 1).to(self._device)
        output = self._relay(row[0], row[1], last)
        if output is None:
            return None
        whole = gather_from_tensor_model_parallel_region(output[:, 0])
        return whole[:, : model.vocab_size].float()

    def _relay(self, tokens: torch.Tensor, positions: torch.Tensor, last: torch.Tensor) -> torch.Tensor | None:
        """Pass a row through all stages; return what the head gives for the tokens `last`, where the head is."""
        engine, ranks = self._engine, parallel_state.get_pipeline_model_parallel_world_size()
        rank, stages = parallel_state.get_pipeline_model_parallel_rank(), ranks * len(engine.chunks)
        group = parallel_state.get_pipeline_model_parallel_group()
        tensor = engine.config.tensor_model_parallel_size if engine.config.sequence_parallel else 1
        shape = (tokens.shape[1] // tensor, 1, engine.config.hidden_size)
        output = None
        for stage in range(rank, stages, ranks):
            number = stage // ranks
            chunk = engine.models[number]
            inner = bare(chunk)
            if stage:
                hidden = torch.empty(shape, dtype=engine.config.params_dtype, device=self._device)
                if ranks > 1:
                    source = torch.distributed.get_global_rank(group, (rank - 1) % ranks)
                    torch.distributed.recv(hidden, source, group=group)
                inner.set_input_tensor(hidden)
            inner.wanted = last
            try:
                output = chunk(tokens, positions, self._caches[number])
            finally:
                inner.wanted = None
                inner.set_input_tensor(None)
            if stage < stages - 1:
                target = torch.distributed.get_global_rank(group, (rank + 1) % ranks)
                torch.distributed.send(output.contiguous(), target, group=group)
                output = None
        return output


def bare(chunk: Any) -> Any:
    """Return the GPTModel inside its wrappers, of distributed data parallelism and of half precision."""
    while hasattr(chunk, "module"):
        chunk = chunk.module
    return chunk
