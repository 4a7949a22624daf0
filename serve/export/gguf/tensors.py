"""Which Hugging Face tensors make up each tensor of a GGUF file, and how their numbers lie there.

llama.cpp turns the two numbers of a rotary pair that lie side by side in a "llama"; Hugging Face's lie half a head
apart, so the rows of its q and k are put in another order. For qwen2 and qwen3 llama.cpp turns halves too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serve.errors import ExportError
from serve.export.source import Source

ARCHITECTURES = {"llama": "llama", "mixtral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gpt2": "gpt2"}
ROPE_FACTORS = "rope_freqs.weight"
_EXPERTS = {"w1": "ffn_gate_exps", "w2": "ffn_down_exps", "w3": "ffn_up_exps"}
_TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")


@dataclass(frozen=True)
class Entry:
    """A tensor of the file."""

    names: tuple[str, ...]  # of Hugging Face; of all experts, stacked; none for what is computed
    shape: tuple[int, ...]  # as numpy has it; GGUF names dimensions the other way round
    lies: Literal["as it is", "turned", "transposed", "stacked"] = "as it is"

    @property
    def matrix(self) -> bool:
        """Whether the file's type holds for it: norms, biases and routers stay in float32, as llama.cpp wants them."""
        return len(self.shape) > 1 and not any("block_sparse_moe.gate." in name for name in self.names)


def entries(source: Source) -> dict[str, Entry]:
    """Return every tensor of the file by its name there, in order. Raises ExportError for a tensor GGUF has not."""
    import gguf

    architecture = next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == ARCHITECTURES[source.family])
    names = gguf.get_tensor_name_map(architecture, source.model.layers)
    made: dict[str, Entry] = {}
    if source.model.rope_scaling is not None:
        made[ROPE_FACTORS] = Entry((), (source.model.head_size // 2,))
    for name, shape in source.shapes.items():
        front, expert, back = name.partition(".block_sparse_moe.experts.")
        if expert:
            number, which = back.split(".")[:2]
            if number == "0":
                every = tuple(f"{front}{expert}{n}.{which}.weight" for n in range(source.model.experts or 0))
                made[f"blk.{front.split('.')[2]}.{_EXPERTS[which]}.weight"] = Entry(
                    every, (len(every), *shape), "stacked"
                )
            continue
        there = names.get_name(name, (".weight", ".bias"))
        if there is None:
            raise ExportError(f"GGUF has no name for {name} of a {source.family}")
        if ARCHITECTURES[source.family] == "llama" and name.rpartition(".")[0].endswith(("q_proj", "k_proj")):
            made[there] = Entry((name,), shape, "turned")
        elif source.family == "gpt2" and name.endswith(_TRANSPOSED):
            made[there] = Entry((name,), shape[::-1], "transposed")
        else:
            made[there] = Entry((name,), shape)
    return made


def numbers(source: Source, entry: Entry) -> Any:
    """Return an entry's numbers as they lie in the file, a torch tensor in the source's type."""
    import torch

    if not entry.names:
        return torch.tensor(rope_factors(source))
    if entry.lies == "stacked":
        return torch.stack([source.part(name) for name in entry.names])
    whole = source.part(entry.names[0])
    if entry.lies == "turned":
        return turned(whole, heads(source.model, entry.names[0]))
    return whole.T.contiguous() if entry.lies == "transposed" else whole


def heads(model: Any, name: str) -> int:
    """Return how many heads the rows of q or k are of."""
    return int(model.heads if ".q_proj." in name else model.key_heads)


def turned(weight: Any, heads: int) -> Any:
    """Return rows in llama.cpp's order: of a head [0, d/2, 1, d/2 + 1, ...]."""
    return weight.reshape(heads, 2, -1, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def turned_back(weight: Any, heads: int) -> Any:
    """Undo `turned`."""
    return weight.reshape(heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def rope_factors(source: Source) -> list[float]:
    """Return by what each rotary frequency is divided, head_dim / 2 numbers (Llama 3.1, "llama3" scaling)."""
    scaling, dim = source.model.rope_scaling, source.model.head_size
    assert scaling is not None
    made = []
    for at in range(0, dim, 2):
        wavelength = 2 * math.pi * source.model.rope_theta ** (at / dim)
        turns = scaling.original_positions / wavelength
        if turns > scaling.high_freq_factor:
            made.append(1.0)
        elif turns < scaling.low_freq_factor:
            made.append(scaling.factor)
        else:
            smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
            made.append(1 / ((1 - smooth) / scaling.factor + smooth))
    return made


def where(made: Mapping[str, Entry]) -> dict[str, tuple[str, int]]:
    """Return where each Hugging Face tensor is: the name in the file and its place in a stack."""
    return {name: (there, at) for there, entry in made.items() for at, name in enumerate(entry.names)}
