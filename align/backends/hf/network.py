"""A transformers model as a policy calls it: inputs in, answers at the cells that were asked for out."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from align.backends.hf.attention import DOCUMENTS
from align.backends.hf.batch import Inputs
from align.errors import ModelError
from align.policy import Head


class Network(nn.Module):  # type: ignore[misc]
    """The model and, around it, nothing that has weights; the root that FSDP shards.

    Logits are computed at the wanted cells alone: the input of the output layer is cut to them, so that whatever a
    model does to its logits afterwards (scaling, soft capping) is done as it does it.
    """

    def __init__(self, model: Any, head: Head):
        super().__init__()
        self.model, self.kind = model, head  # a PreTrainedModel, or peft's model around one
        self.prompted = hasattr(model, "prompt_encoder")
        self._cells: Tensor | None = None
        output = self.inner.get_output_embeddings() if head == "lm" else None
        if output is not None:
            output.register_forward_pre_hook(self._select)

    @property
    def inner(self) -> Any:
        """The transformers model itself."""
        return self.model.get_base_model() if hasattr(self.model, "peft_config") else self.model

    @property
    def scorer(self) -> nn.Module:
        """The last layer of head "value" or "reward". Raises ModelError where there is more to it."""
        found = [child for name, child in self.inner.named_children() if name != self.inner.base_model_prefix]
        if len(found) != 1:
            raise ModelError(
                f"{type(self.inner).__name__} scores with {len(found)} layers beside its base model; one was expected"
            )
        return found[0]

    @property
    def layers(self) -> list[nn.Module]:
        """The decoder layers, which are sharded, and recomputed, one by one."""
        names = set(self.inner._no_split_modules or ())
        found = [module for module in self.inner.modules() if type(module).__name__ in names]
        return found or [layer for each in self.inner.modules() if isinstance(each, nn.ModuleList) for layer in each]

    def settle(self) -> None:
        """Turn dropout off, and leave 4-bit layers as they are: on CPU, bitsandbytes repacks them for eval, into a
        form through which no gradient flows.
        """
        self.eval()
        for module in self.modules():
            if hasattr(getattr(module, "weight", None), "quant_state"):
                module.train()

    def recompute(self) -> None:
        """Keep only the input of each decoder layer for the backward pass (Chen et al. 2016)."""
        for layer in self.layers:
            layer.forward = functools.partial(_recomputed, layer.forward)

    def forward(self, inputs: Inputs, virtual: bool = False) -> Tensor:
        """Return logits (m, vocab) at the cells; of other heads float32 (m, outputs). virtual: p-tuning's tokens."""
        tokens, given = inputs.tokens, {}
        if virtual:
            embedded = self.inner.get_input_embeddings()(tokens)
            prompts = self.model.get_prompt(batch_size=len(tokens)).to(embedded.dtype)
            given["inputs_embeds"] = torch.cat([prompts, embedded], 1)
        else:
            given["input_ids"] = tokens
        if inputs.positions is not None:
            given["position_ids"] = inputs.positions
            if self.inner.config._attn_implementation == DOCUMENTS:
                given["documents"] = inputs.documents
                given["attention_mask"] = tokens.new_ones(
                    (1, 1, 1, 1), dtype=torch.bool
                )  # 4 dimensions: transformers makes no other
        if self.kind != "lm":
            hidden = self.inner.base_model(**given, use_cache=False)[0]
            return self.scorer(_cut(hidden, inputs.cells).float())
        self._cells = inputs.cells
        try:
            return self.inner(**given, use_cache=False).logits[0]
        finally:
            self._cells = None

    def _select(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return None if self._cells is None else (_cut(args[0], self._cells)[None], *args[1:])


def _cut(hidden: Tensor, cells: Tensor) -> Tensor:
    return hidden.flatten(0, -2).index_select(0, cells)


def _recomputed(forward: Any, *args: Any, **kwargs: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
