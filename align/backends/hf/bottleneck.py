"""Bottleneck adapters (Houlsby et al. 2019, arXiv:1902.00751): h + up(gelu(down(h))) after attention and feed-forward.

`up` begins at zero, so a model with new adapters computes what it did. They are functions, not weights that could be
added to others, so nothing is merged. Files, in a folder adapter/:

* adapter_config.json        {"peft_type": "BOTTLENECK", "width": ..., "hidden_size": ..., "places": [module names]}
* adapter_model.safetensors  PLACE.bottleneck.{down,up}.{weight,bias}; weights (width, hidden) and (hidden, width)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from align.config import Peft
from align.errors import ModelError
from millrace import storage
from millrace.errors import StorageError

ATTENTION = ("self_attn", "attn", "attention", "self_attention")  # names of sublayers in transformers' models
FEEDFORWARD = ("mlp", "feed_forward", "ffn", "block_sparse_moe")


class Bottleneck(nn.Module):  # type: ignore[misc]
    """A small network around which the hidden states are carried on."""

    def __init__(self, hidden: int, width: int, like: Tensor):
        super().__init__()
        self.down = nn.Linear(hidden, width, device=like.device)
        self.up = nn.Linear(width, hidden, device=like.device)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, states: Tensor) -> Tensor:
        """Return states of the same shape and type."""
        inner = states.to(self.down.weight.dtype)
        return states + self.up(nn.functional.gelu(self.down(inner))).to(states.dtype)


class Bottlenecks:
    """A frozen model with a bottleneck after each attention and feed-forward layer."""

    mergeable, virtual = False, 0

    def __init__(self, model: Any, settings: Peft, seed: int = 0):
        """Attach bottlenecks, drawn by a seed. Raises ModelError where no sublayers are found."""
        self.model, self.off, self.width = model, False, settings.width
        self.hidden = int(model.config.get_text_config().hidden_size)
        within = set(model._no_split_modules or ())
        self.places = [
            f"{name}.{child}"
            for name, module in model.named_modules()
            if type(module).__name__ in within
            for child, _ in module.named_children()
            if child in (*ATTENTION, *FEEDFORWARD)
        ]
        if not self.places:
            raise ModelError(
                f"adapter: no attention or feed-forward layers were found in {type(model).__name__}; "
                f"looked for {', '.join((*ATTENTION, *FEEDFORWARD))}"
            )
        head = tuple(f"{name}." for name, _ in model.named_children() if name in ("score", "classifier"))
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(head) if head else False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for place in self.places:
                module = model.get_submodule(place)
                module.bottleneck = Bottleneck(self.hidden, settings.width, next(module.parameters()))
                module.register_forward_hook(self._after)

    def _after(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Send what a sublayer gives through its bottleneck; attention gives a tuple, hidden states first."""
        if self.off:
            return output
        adapt: Any = module.bottleneck
        return (adapt(output[0]), *output[1:]) if isinstance(output, tuple) else adapt(output)

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        """Leave the adapters out while the block runs."""
        self.off = True
        try:
            yield
        finally:
            self.off = False

    def base(self, name: str) -> str | None:
        """Return the name a weight has in the model without adapters; None of a weight that is an adapter's."""
        return None if ".bottleneck." in name else name

    def merged(self, name: str, weight: Tensor, whole: Callable[[Any], Tensor]) -> Tensor:
        """Raise ModelError: nothing can be merged."""
        raise ModelError("bottleneck adapters are layers of their own and cannot be merged into the model's weights")

    def save(self, folder: str, state: dict[str, Tensor]) -> None:
        """Write the files of the module's docstring. state: the adapters' weights whole, by name in the model."""
        from safetensors.torch import save

        content = save({name: value.detach().cpu().contiguous() for name, value in state.items()}, {"format": "pt"})
        storage.write_bytes(storage.join(folder, "adapter_model.safetensors"), content)
        storage.write_json(
            storage.join(folder, "adapter_config.json"),
            {"peft_type": "BOTTLENECK", "width": self.width, "hidden_size": self.hidden, "places": self.places},
        )


def load(model: Any, folder: str) -> Bottlenecks:
    """Attach the bottlenecks of a folder that `save` wrote. Raises ModelError where they do not fit the model."""
    from safetensors.torch import load as tensors

    try:
        given = storage.read_json(storage.join(folder, "adapter_config.json"))
        state = tensors(storage.read_bytes(storage.join(folder, "adapter_model.safetensors")))
    except StorageError as error:
        raise ModelError(f"{folder} holds no bottleneck adapters: {error}") from None
    if given.get("peft_type") != "BOTTLENECK":
        raise ModelError(f"{folder} holds {given.get('peft_type')} adapters; BOTTLENECK ones were expected")
    made = Bottlenecks(model, Peft(kind="adapter", width=given["width"]))
    if (given["places"], given["hidden_size"]) != (made.places, made.hidden):
        raise ModelError(
            f"the bottlenecks of {folder} fit a model of hidden size {given['hidden_size']} with "
            f"{len(given['places'])} places; this one has {made.hidden} and {len(made.places)}"
        )
    model.load_state_dict(state, strict=False)
    return made
