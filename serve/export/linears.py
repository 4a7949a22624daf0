"""What goes into the linear layers of a transformers model, seen or changed, by the layers' Hugging Face names.

transformers 5 holds the experts of a Mixtral layer in two stacked tensors and calls no linear layer for them, so
their forward pass is written out here; in files they are w1 (gate), w3 (up) and w2 (down) of every expert.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

Observe = Callable[[tuple[str, ...], Any], Any]  # (layers that take this input, the input) -> what they take instead


@contextlib.contextmanager
def watching(model: Any, observe: Observe) -> Iterator[None]:
    """Give the input of every linear layer but the head to `observe`, and let the layer compute with what it returns.

    An input is (..., in) in the model's type. An expert's layers see the tokens that are routed to it.
    """
    import torch
    from transformers.pytorch_utils import Conv1D  # GPT-2's linear layers

    handles, replaced = [], []
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, Conv1D)) and name not in ("lm_head", "score"):
            handles.append(module.register_forward_pre_hook(_hook(name, observe)))
        elif hasattr(module, "gate_up_proj") and hasattr(module, "down_proj") and hasattr(module, "num_experts"):
            module.forward = _experts(module, name.replace(".mlp.experts", ".block_sparse_moe.experts"), observe)
            replaced.append(module)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for module in replaced:
            del module.forward


def _hook(name: str, observe: Observe) -> Callable[[Any, Any], Any]:
    return lambda module, inputs: (observe((name,), inputs[0]), *inputs[1:])


def _experts(module: Any, name: str, observe: Observe) -> Callable[..., Any]:
    from torch.nn.functional import linear

    def forward(hidden: Any, chosen: Any, weights: Any) -> Any:
        """hidden: (tokens, hidden); chosen, weights: (tokens, experts a token)."""
        made = hidden.new_zeros(hidden.shape)
        for expert in range(module.num_experts):
            token, place = (chosen == expert).nonzero(as_tuple=True)
            if not len(token):
                continue
            taken = observe((f"{name}.{expert}.w1", f"{name}.{expert}.w3"), hidden[token])
            gate, up = linear(taken, module.gate_up_proj[expert]).chunk(2, dim=-1)
            taken = observe((f"{name}.{expert}.w2",), module.act_fn(gate) * up)
            out = linear(taken, module.down_proj[expert]) * weights[token, place, None]
            made.index_add_(0, token, out.to(made.dtype))
        return made

    return forward
