"""The gguf export: what llama.cpp, and what is built on it, loads as one file."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar, Literal

from millrace import storage
from serve.errors import ExportError, ServeSettingsError
from serve.export.format import Verdict
from serve.export.gguf import metadata, vocabulary
from serve.export.gguf.reading import Read
from serve.export.gguf.tensors import ARCHITECTURES, Entry, entries, numbers
from serve.export.selftest import Limits, examine
from serve.export.source import Source

OWN = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
BLOCK = 32  # numbers of a row that share a scale in Q8_0: 34 bytes
# What a type loses of a tensor at most, |written - source| / |source|; of Q8_0, twice what normal numbers show.
_LOSES = {"F32": 0.0, "BF16": 2.0**-8, "F16": 2.0**-11, "Q8_0": 0.02}


@dataclass(frozen=True)
class Gguf:
    """One file for llama.cpp with tokenizer and chat template; matrices in `type`, norms and biases in float32."""

    name: ClassVar[str] = "gguf"
    library: ClassVar[str] = ""
    type: Literal["", "F32", "F16", "BF16", "Q8_0"] = ""  # F32, F16, BF16 or Q8_0; "": the source's own, without loss
    min_cosine: float = 0.9  # of logits to the source's; a mixture may send a token to another expert by rounding

    def __post_init__(self) -> None:
        """Raises ServeSettingsError for a cosine that cannot be."""
        if not 0 <= self.min_cosine <= 1:
            raise ServeSettingsError(f"min_cosine is {self.min_cosine}; it must be from 0 to 1")

    def refuse(self, source: Source) -> None:
        """Raise where llama.cpp would compute or cut text otherwise, or a row does not fit Q8_0's blocks."""
        if find_spec("gguf") is None:
            raise ServeSettingsError(
                "gguf is written by the library gguf, which is not installed: pip install 'millrace[gguf]'"
            )
        metadata.refuse(source)
        for name, entry in entries(source).items():
            if self._type(source, entry) == "Q8_0" and entry.shape[-1] % BLOCK:
                raise ExportError(
                    f"{name} has rows of {entry.shape[-1]}; Q8_0 takes multiples of {BLOCK}: F16 and BF16 hold it"
                )
        with tempfile.TemporaryDirectory() as room:
            self._vocabulary(source, room)

    def plan(self, source: Source) -> Mapping[str, int]:
        """Return the file with the bytes of its tensors."""
        made = entries(source).values()
        return {self.file(source): sum(_bytes(entry, self._type(source, entry)) for entry in made)}

    def file(self, source: Source) -> str:
        """Return the file's name."""
        return f"model-{self.type or OWN[source.dtype]}.gguf"

    def write(self, source: Source, folder: str) -> float:
        """Write the file, tensor by tensor. Memory: one tensor, of a mixture the experts of a layer, twice."""
        import gguf
        import numpy as np

        made = entries(source)
        path = storage.local_path(storage.join(folder, self.file(source)))
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(path, ARCHITECTURES[source.family])
        kind = self.type or OWN[source.dtype]
        file_type = gguf.LlamaFileType[("ALL_" if kind == "F32" else "MOSTLY_") + kind]
        metadata.add(writer, source, storage.absolute(source.name).rpartition("/")[2], int(file_type))
        with tempfile.TemporaryDirectory() as room:
            self._vocabulary(source, room).add(writer)
        for name, entry in made.items():
            raw = gguf.GGMLQuantizationType[self._type(source, entry)]
            writer.add_tensor_info(name, entry.shape, np.dtype(np.float32), _bytes(entry, raw.name), raw)
        with contextlib.closing(writer):
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            for name, entry in made.items():
                writer.write_tensor_data(_encoded(name, numbers(source, entry), self._type(source, entry)))
        return 0.0

    def test(self, source: Source, folder: str) -> Verdict:
        """Read the file by its library, and compute by its own metadata; cut text by its own vocabulary."""
        made = entries(source)
        written = Read(storage.join(folder, self.file(source)), source, made)
        written.check_rope()
        with tempfile.TemporaryDirectory() as room:
            told = self._vocabulary(source, room)
            if dataclasses.replace(written.vocabulary(), notes=()) != dataclasses.replace(told, notes=()):
                raise ExportError("what was written has another vocabulary than the model")
            count = vocabulary.compare(room, written.vocabulary())
        exact = all(OWN[source.dtypes[n]] == self._type(source, e) for e in made.values() if e.matrix for n in e.names)
        loses = 0.0 if exact else max(_LOSES[self._type(source, entry)] for entry in made.values())
        verdict = examine(source, written, Limits(loses, self.min_cosine))
        scales = _scales(written, made) if self.type == "Q8_0" else None
        notes = (f"{count} tokens of test text cut as llama.cpp cuts them by the name {told.pre}", *told.notes)
        return dataclasses.replace(verdict, scales=scales, notes=notes)

    def _type(self, source: Source, entry: Entry) -> str:
        return (self.type or OWN[source.dtype]) if entry.matrix else "F32"

    def _vocabulary(self, source: Source, room: str) -> vocabulary.Vocabulary:
        source.copy_rest(room)
        assert source.model.vocab_size is not None
        return vocabulary.read(room, source.config, source.model.vocab_size)


def _bytes(entry: Entry, kind: str) -> int:
    count = math.prod(entry.shape)
    return count // BLOCK * 34 if kind == "Q8_0" else count * {"F32": 4, "F16": 2, "BF16": 2}[kind]


def _encoded(name: str, tensor: Any, kind: str) -> Any:
    """Return a tensor's bytes in a type of GGUF, a numpy array. Raises ExportError where float16 cannot hold it."""
    import gguf
    import torch

    if kind == "F16":
        half = tensor.to(torch.float16)
        if not half.isfinite().all():
            raise ExportError(f"{name} has numbers up to {tensor.abs().max().item():g}; F16 holds 65504: take BF16")
        return half.contiguous().numpy()
    if kind == "BF16":
        return tensor.to(torch.bfloat16).contiguous().view(torch.uint8).numpy()
    made: Any = gguf.quants.quantize(tensor.float().contiguous().numpy(), gguf.GGMLQuantizationType[kind])
    return made


def _scales(written: Read, made: dict[str, Entry]) -> tuple[float, float] | None:
    """Return the smallest and the largest scale of Q8_0's blocks, each a largest magnitude over 127.

    A block of zeros has none.
    """
    lows, highs = [], []
    for name, entry in made.items():
        if entry.matrix:
            tops = written.numbers(name).reshape(-1, BLOCK).abs().amax(1) / 127
            if len(tops := tops[tops > 0]):
                lows.append(float(tops.min()))
                highs.append(float(tops.max()))
    return (min(lows), max(highs)) if lows else None
