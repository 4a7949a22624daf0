"""Completions by a transformers model in this process: the policy's own module, or a copy of it."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from align.backends.hf.model import refuse_quantised
from align.errors import ModelError, RolloutError
from align.rollout.cache import bytes_per_token, empty_cache
from align.rollout.generator import Request, Rollout, Sampling
from align.rollout.sampling import check, draw
from align.rollout.written import places
from millrace.config import did_you_mean
from millrace.errors import StorageError

CACHE_BYTES = 2 << 30  # of a batch's keys and values, on a CPU
CACHE_SHARE = 0.5  # of the device memory that is free
LOGITS_BYTES = (
    28  # a vocabulary entry while a token is drawn: float32 logits, log-probabilities, probabilities, float64
)
LOOK = 8  # steps between two looks for completions that ended, as a look waits for the device; 1 on a CPU


class TransformersGenerator:
    """A causal language model of transformers that completes prompts.

    model: the policy's own module, whose weights are whole on this rank and used as they are: `update` notes the
    version. With own=True the module belongs to the generator, and `update` copies weights into it. Prompts of one
    batch are padded on the left; equal prompts are read once; a completion that ended leaves the batch, and its keys
    and values with it. cache_bytes bounds a batch's keys, values and logits; None: 2 GiB on a CPU, else half of the
    device memory that is free.
    """

    def __init__(self, model: nn.Module, *, own: bool = False, version: int = 0, cache_bytes: int | None = None):
        sharded = next((name for name, p in model.named_parameters() if hasattr(p, "device_mesh")), None)
        if sharded:
            raise RolloutError(f"{sharded} is sharded over ranks: generate with a copy (TransformersGenerator.load)")
        self.version = version
        self._model, self._own, self._cache_bytes = model, own, cache_bytes
        self._base: Any = model.get_base_model() if hasattr(model, "get_base_model") else model  # of a peft model
        self._config: Any = self._base.config.get_text_config(decoder=True)
        adapters = getattr(model, "active_peft_config", None)
        self._virtual = adapters.num_virtual_tokens if adapters is not None and adapters.is_prompt_learning else 0
        self._awake, self._torn = True, ""
        self._places: dict[str, Tensor] = {}  # where weights are copied to, by their names in files
        takes = inspect.signature(self._base.forward).parameters
        self._cache_name = "cache" if "cache" in takes else "past_key_values"  # renamed in transformers 5.24
        self._takes_positions = "position_ids" in takes
        self._home = next(model.parameters()).device

    @classmethod
    def load(cls, folder: str, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu",
             version: int = 0, cache_bytes: int | None = None) -> TransformersGenerator:  # fmt: skip
        """Open a Hugging Face folder as a copy of its own. Raises ModelError."""
        from transformers import AutoModelForCausalLM

        try:
            refuse_quantised(folder)
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)
        except (OSError, ValueError, StorageError) as error:
            raise ModelError(f"{folder} holds no causal language model: {str(error).splitlines()[0]}") from None
        return cls(model.to(device).eval(), own=True, version=version, cache_bytes=cache_bytes)

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """Complete prompts, in the order given. Raises RolloutError, and AlignSettingsError for the sampling."""
        check(sampling)
        if not self._awake or self._torn:
            raise RolloutError(self._torn or "the generator sleeps: call wake() first")
        self._refuse(requests, sampling)
        order = sorted(range(len(requests)), key=lambda i: (len(requests[i].prompt), requests[i].prompt.tobytes()))
        done: dict[int, Rollout] = {}
        with torch.no_grad(), _evaluating(self._model):
            for batch in self._batches(order, requests, sampling):
                done.update(zip(batch, self._complete([requests[i] for i in batch], sampling)))
        return [done[i] for i in range(len(requests))]

    def _refuse(self, requests: Sequence[Request], sampling: Sampling) -> None:
        limit, vocabulary = getattr(self._config, "max_position_embeddings", None), self._config.vocab_size
        for number, request in enumerate(requests):
            prompt = request.prompt
            if not len(prompt):
                raise RolloutError(f"prompt {number} is empty")
            if limit and self._virtual + len(prompt) + sampling.max_tokens > limit:
                virtual = f" and {self._virtual} virtual ones" if self._virtual else ""
                raise RolloutError(
                    f"prompt {number} has {len(prompt)} tokens{virtual}, which with max_tokens {sampling.max_tokens} "
                    f"is past the model's {limit} positions"
                )
            if prompt.min() < 0 or prompt.max() >= vocabulary:
                wrong = next(int(t) for t in prompt if not 0 <= t < vocabulary)
                raise RolloutError(f"prompt {number} holds token {wrong}; the model's vocabulary is {vocabulary}")

    def _batches(self, order: list[int], requests: Sequence[Request], sampling: Sampling) -> Iterator[list[int]]:
        """Cut requests, shortest prompts first, into batches that fit into memory; at least one a batch."""
        dtype = next(self._model.parameters()).dtype
        each = bytes_per_token(self._config, dtype)
        logits = self._config.vocab_size * LOGITS_BYTES
        batch: list[int] = []
        for i in order:
            row = (len(requests[i].prompt) + sampling.max_tokens) * each + logits
            if batch and (len(batch) + 1) * row > self._room():
                yield batch
                batch = []
            batch.append(i)
        if batch:
            yield batch

    def _room(self) -> int:
        if self._cache_bytes is not None or self._home.type != "cuda":
            return self._cache_bytes or CACHE_BYTES
        return int(torch.cuda.mem_get_info(self._home)[0] * CACHE_SHARE)

    def _complete(self, requests: Sequence[Request], sampling: Sampling) -> list[Rollout]:
        """Complete one batch."""
        device, steps = self._home, sampling.max_tokens
        distinct: dict[bytes, int] = {}
        which = [distinct.setdefault(one.prompt.astype(np.int64).tobytes(), len(distinct)) for one in requests]
        prompts = [np.frombuffer(one, np.int64) for one in distinct]
        ids, mask = (torch.from_numpy(one).to(device) for one in _padded_left(prompts, steps))
        given, mask = self._with_virtual(ids, mask)
        width, padded = mask.shape[1] - steps, len(set(map(len, prompts))) > 1
        cache = empty_cache(self._config)
        positions = (mask[:, :width].cumsum(-1) - 1).clamp(min=0)
        lengths = positions[:, -1] + 1
        logits = self._forward(mask[:, :width] if padded else None, positions, cache, **given)

        rows = torch.tensor(which, device=device)
        if which != list(range(len(prompts))):
            cache.reorder_cache(rows)
            logits, mask, lengths = logits[rows], mask[rows], lengths[rows]
        seeds = torch.from_numpy(np.array([one.seed % 2**64 for one in requests], np.uint64).view(np.int64)).to(device)
        stop = torch.tensor(sampling.stop, dtype=torch.int64, device=device)
        tokens = torch.full((len(requests), steps), -1, dtype=torch.int64, device=device)
        logprobs = torch.zeros(len(requests), steps, device=device)
        rows = torch.arange(len(requests), device=device)  # which request each row of the batch belongs to
        ended = torch.zeros(len(requests), dtype=torch.bool, device=device)
        look = 1 if device.type == "cpu" else LOOK
        for step in range(steps):
            drawn, chosen = draw(logits, sampling, seeds[rows], step)
            tokens[rows, step], logprobs[rows, step] = drawn, chosen
            if step + 1 == steps:
                break
            ended |= (drawn[:, None] == stop).any(-1)
            if step % look == look - 1 and ended.any():
                kept = (~ended).nonzero()[:, 0]
                if not len(kept):
                    break
                cache.reorder_cache(kept)
                rows, drawn, mask, lengths, ended = (one[kept] for one in (rows, drawn, mask, lengths, ended))
            seen = mask[:, : width + step + 1] if padded else None
            logits = self._forward(seen, (lengths + step)[:, None], cache, input_ids=drawn[:, None])
        return self._rollouts(tokens.cpu().numpy(), logprobs.cpu().numpy(), sampling)

    def _with_virtual(self, ids: Tensor, mask: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Return what the model is given of the prompts, and the mask: virtual tokens of p-tuning come first."""
        if not self._virtual:
            return {"input_ids": ids}, mask
        virtual = self._model.get_prompt(batch_size=len(ids))
        embedded = torch.cat((virtual, self._base.get_input_embeddings()(ids)), 1)
        return {"inputs_embeds": embedded}, torch.cat((mask.new_ones(virtual.shape[:2]), mask), 1)

    def _forward(self, mask: Tensor | None, positions: Tensor, cache: Any, **given: Any) -> Tensor:
        """Return the logits (rows, vocab) after the last token."""
        given |= {self._cache_name: cache, "use_cache": True, "logits_to_keep": 1}
        if self._takes_positions:
            given["position_ids"] = positions
        return self._base(attention_mask=mask, **given).logits[:, -1]

    def _rollouts(self, tokens: np.ndarray, logprobs: np.ndarray, sampling: Sampling) -> list[Rollout]:
        made = []
        for row, (drawn, chosen) in enumerate(zip(tokens, logprobs)):
            ends = np.isin(drawn, sampling.stop).nonzero()[0]
            length = int(ends[0]) + 1 if len(ends) else len(drawn)
            if not np.isfinite(chosen[:length]).all():
                at = int((~np.isfinite(chosen)).nonzero()[0][0])
                raise RolloutError(f"the model's logits are no numbers at token {at} of completion {row} of a batch")
            made.append(
                Rollout(drawn[:length].copy(), chosen[:length].copy(), "stop" if len(ends) else "length", self.version)
            )
        return made

    def update(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Copy weights into the generator's own module; of the policy's own module, note the version only.

        Names are those of a Hugging Face folder; weights that are tied come once. An update that fails leaves a
        mixture, which generate refuses until an update has succeeded. Raises RolloutError for names that are unknown,
        missing or twice there, and for shapes.
        """
        if self._own:
            self._torn = f"the update to version {version} failed half way: the weights are a mixture of two versions"
            self._copy(weights)
            self._torn = ""
        self.version = version

    def _copy(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        held = self._places = self._places or places(self._model)
        came: set[str] = set()
        for name, tensor in weights:
            if name not in held:
                raise RolloutError(f"the generator's model has no weight {name}.{did_you_mean(name, held)}")
            if name in came:
                raise RolloutError(f"weight {name} came twice")
            if held[name].shape != tensor.shape:
                shapes = tuple(tensor.shape), tuple(held[name].shape)
                raise RolloutError(f"{name} has the shape {shapes[0]}; the generator's is {shapes[1]}")
            held[name].copy_(tensor)
            came.add(name)
        filled = {held[name].data_ptr() for name in came}  # a tied weight has one memory and several names
        missing = [name for name, tensor in held.items() if tensor.data_ptr() not in filled]
        if missing:
            raise RolloutError(f"{len(missing)} of {len(held)} weights did not come, the first is {missing[0]}")

    def sleep(self) -> None:
        """Move the generator's own module to host memory; the policy's own is the policy's to move."""
        self._awake, self._places = False, {}
        if self._own:
            self._model.to("cpu")

    def wake(self) -> None:
        """Move it back."""
        if self._own:
            self._model.to(self._home)
        self._awake, self._places = True, {}


def _padded_left(prompts: Sequence[np.ndarray], steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens (rows, longest) and the mask (rows, longest + steps) of what may be attended to."""
    width = max(len(one) for one in prompts)
    ids = np.zeros((len(prompts), width), np.int64)
    mask = np.ones((len(prompts), width + steps), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = prompt
        mask[row, : width - len(prompt)] = 0
    return ids, mask


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off, and each module back to what it was.

    4-bit layers stay as they are: on a CPU, bitsandbytes repacks them for eval into what gives no gradients.
    """
    training = [module for module in model.modules() if module.training and not _has_4_bits(module)]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _has_4_bits(module: nn.Module) -> bool:
    return hasattr(getattr(module, "weight", None), "quant_state")
