"""A GGUF file as its reader computes with it: by the gguf library, in Hugging Face's names and order."""

from __future__ import annotations

from typing import Any

from serve.errors import ExportError
from serve.export.gguf import metadata
from serve.export.gguf.tensors import ROPE_FACTORS, Entry, heads, turned_back, where
from serve.export.gguf.vocabulary import Vocabulary
from serve.export.source import Source


class Read:
    """The file's own metadata and tensors; the source only tells which names they had. Raises ExportError."""

    scales: tuple[float, float] | None = None

    def __init__(self, path: str, source: Source, entries: dict[str, Entry]):
        import gguf

        try:
            self._file = gguf.GGUFReader(path)
        except (ValueError, OSError, IndexError) as error:
            raise ExportError(f"what was written is no GGUF that its library reads: {error}") from None
        self._tensors = {one.name: one for one in self._file.tensors}
        if set(self._tensors) != set(entries):
            raise ExportError(f"what was written has other tensors: {sorted(set(self._tensors) ^ set(entries))[:3]}")
        for name, entry in entries.items():
            if tuple(int(n) for n in self._tensors[name].shape) != entry.shape[::-1]:
                raise ExportError(
                    f"what was written has {name} as {self._tensors[name].shape}; {entry.shape[::-1]} was expected"
                )
        self._entries, self._where = entries, where(entries)
        self._scaling = _scaling(source)
        self.config = metadata.read(self.key, self._tensors, self._scaling)
        self._model = source.model
        self.shapes = {name: self._shape(name) for name in self._where}

    def key(self, name: str) -> Any:
        """Return the value of a key, None where there is none."""
        field = self._file.get_field(name)
        return None if field is None else field.contents()

    def _shape(self, name: str) -> tuple[int, ...]:
        entry = self._entries[self._where[name][0]]
        if entry.lies == "stacked":
            return entry.shape[1:]
        return entry.shape[::-1] if entry.lies == "transposed" else entry.shape

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return a part of a tensor as the source has it, float32."""
        there, at = self._where[name]
        entry = self._entries[there]
        whole = self.numbers(there, at if entry.lies == "stacked" else None)
        if entry.lies == "turned":
            whole = turned_back(whole, heads(self._model, name))
        elif entry.lies == "transposed":
            whole = whole.T
        return whole[tuple(slice(*each) for each in bounds)]

    def numbers(self, there: str, at: int | None = None) -> Any:
        """Return a tensor, or one of a stack, as it lies in the file; dequantised, a torch tensor in float32."""
        import gguf
        import torch

        tensor = self._tensors[there]
        data = tensor.data if at is None else tensor.data[at]
        return torch.from_numpy(gguf.dequantize(data, tensor.tensor_type).copy())

    def inputs(self, layer: str) -> None:
        """Inputs are left alone."""

    def vocabulary(self) -> Vocabulary:
        """Return what the file says of tokens. Raises ExportError where a key is missing."""

        def key(name: str) -> Any:
            value = self.key(f"tokenizer.{name}")
            if value is None:
                raise ExportError(f"what was written has no tokenizer.{name}")
            return value

        if key("ggml.model") != "gpt2":
            raise ExportError(f"what was written has a tokenizer {key('ggml.model')}, no byte-level BPE")
        ends = {name: self.key(f"tokenizer.ggml.{key_}_token_id") for name, key_ in _ENDS.items()}
        return Vocabulary(
            key("ggml.pre"), key("ggml.tokens"), key("ggml.token_type"), key("ggml.merges"),
            {name: int(n) for name, n in ends.items() if n is not None},
            (bool(key("ggml.add_bos_token")), bool(key("ggml.add_eos_token"))),
            self.key("tokenizer.chat_template") or "", (),
        )  # fmt: skip

    def check_rope(self) -> None:
        """Hold the rotary factors of the file against transformers' frequencies. Raises ExportError."""
        import torch
        from transformers import AutoConfig
        from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

        if ROPE_FACTORS not in self._tensors:
            return
        config = AutoConfig.for_model(**self.config)
        scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
        dim, theta = self.config["head_dim"], self.config["rope_parameters"]["rope_theta"]
        plain = theta ** (-torch.arange(0, dim, 2).float() / dim)
        if not torch.allclose(plain / self.numbers(ROPE_FACTORS), scaled, rtol=1e-4):
            raise ExportError(f"what was written scales rotary positions otherwise than the source ({ROPE_FACTORS})")


_ENDS = {"bos": "bos", "eos": "eos", "pad": "padding"}


def _scaling(source: Source) -> dict[str, Any] | None:
    scaling = source.model.rope_scaling
    if scaling is None:
        return None
    return {
        "rope_type": "llama3", "factor": scaling.factor, "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor, "original_max_position_embeddings": scaling.original_positions,
    }  # fmt: skip
