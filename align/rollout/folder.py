"""Weights that come one by one, into a Hugging Face folder that a server loads."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from millrace import storage
from pretrain.hf.folder import INDEX, appearing

PART_BYTES = 1 << 30  # gathered in memory before they are written


def write_weights(
    folder: str, weights: Iterable[tuple[str, Tensor]], dtype: torch.dtype | None = None, part_bytes: int = PART_BYTES
) -> int:
    """Write weights as safetensors files with an index; the folder is there whole or not at all. Return their number.

    dtype: what floats are cast to; None: as they come. Memory: about twice part_bytes, or twice the largest tensor.
    """
    from safetensors.torch import save

    with appearing(folder) as aside:
        place: dict[str, str] = {}
        held: dict[str, Tensor] = {}
        total = 0

        def write() -> None:
            file = f"model-{len(set(place.values())) + 1:05d}.safetensors"
            storage.write_bytes(storage.join(aside, file), save(held, metadata={"format": "pt"}))
            place.update(dict.fromkeys(held, file))
            held.clear()

        for name, given in weights:
            cast = given.detach().to("cpu", dtype if given.is_floating_point() else None)
            tensor = cast.clone(memory_format=torch.contiguous_format)  # the next weight may come in the same memory
            size = tensor.numel() * tensor.element_size()
            if held and sum(one.numel() * one.element_size() for one in held.values()) + size > part_bytes:
                write()
            held[name] = tensor
            total += size
        if held:
            write()
        storage.write_json(
            storage.join(aside, INDEX), {"metadata": {"total_size": total}, "weight_map": dict(sorted(place.items()))}
        )
    return len(place)
