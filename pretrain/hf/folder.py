"""Safetensors folders: read part by part where they lie, written tensor by tensor, there whole or not at all."""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import mmap
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from millrace import storage
from millrace.errors import StorageError
from pretrain.errors import WeightsError

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# What a tensor may be written as: its name in the file, bytes a number.
DTYPES = {
    "float32": ("F32", 4), "bfloat16": ("BF16", 2), "float16": ("F16", 2), "float8_e4m3fn": ("F8_E4M3", 1),
    "int8": ("I8", 1), "uint8": ("U8", 1), "int32": ("I32", 4), "int64": ("I64", 8),
}  # fmt: skip
_TORCH = {stored: name for name, (stored, _) in DTYPES.items()}


class TensorFolder:
    """The tensors of a Hugging Face folder's safetensors files, memory-mapped; only headers are read at first.

    Raises WeightsError where a file is missing or damaged, or where the index names what is not there.
    """

    def __init__(self, folder: str):
        if not storage.is_local(folder):
            raise WeightsError(f"weights are mapped into memory, so they must lie in a local folder; {folder} does not")
        self.folder = folder
        self._files: dict[str, Any] = {}  # tensor -> open file
        self._mapped: bool | None = None  # parts are views of mapped files; None: not asked yet
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}  # as torch calls them; as the file does where DTYPES has it not
        for url, names in self._listed().items():
            self._open(url, names)

    def part(self, name: str, *bounds: tuple[int, int]) -> Any:
        """Return the part of a tensor from start to stop in each dimension; reads nothing else."""
        return self._files[name].get_slice(name)[tuple(slice(*b) for b in bounds)]

    def release(self, part: Any) -> None:
        """Let go of the memory of a part that was given: pages of the file that count as this process's.

        The part stays what it is: what is looked at again is read again, from the page cache. Does nothing where parts
        are no mapped files, or the system does not say so (no /proc, no madvise).
        """
        kept = part.untyped_storage()
        begin = -(-kept.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        length = kept.data_ptr() + kept.nbytes() - begin
        if length > 0 and self._mapped is None:
            self._mapped = hasattr(mmap, "MADV_DONTNEED") and _of_a_file(begin)
        if length > 0 and self._mapped:
            ctypes.CDLL(None).madvise(ctypes.c_void_p(begin), ctypes.c_size_t(length), mmap.MADV_DONTNEED)

    def _listed(self) -> dict[str, list[str] | None]:
        """Return the files, each with the tensors the index says it has."""
        index = storage.join(self.folder, INDEX)
        if storage.exists(index):
            names: dict[str, list[str] | None] = {}
            for tensor, file in _weight_map(index).items():
                listed = names.setdefault(storage.join(self.folder, file), [])
                assert listed is not None
                listed.append(tensor)
            return names
        single = storage.join(self.folder, SINGLE)
        if storage.exists(single):
            return {single: None}
        there = ", ".join(storage.list_folder(self.folder)) or "nothing"
        raise WeightsError(f"{self.folder} has no {SINGLE} and no {INDEX}; it holds {there}")

    def _open(self, url: str, names: list[str] | None) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            file: Any = safe_open(storage.local_path(url), framework="pt")
        except FileNotFoundError:
            raise WeightsError(f"{url} is missing; {INDEX} names it") from None
        except (SafetensorError, OSError) as error:
            raise WeightsError(f"{url} is damaged: {error}") from None
        there = set(file.keys())
        absent = sorted(set(names or ()) - there)
        if absent:
            raise WeightsError(f"{url} has no tensor {absent[0]}, which {INDEX} says it has")
        for name in names if names is not None else there:
            header, self._files[name] = file.get_slice(name), file
            self.shapes[name] = tuple(header.get_shape())
            self.dtypes[name] = _TORCH.get(header.get_dtype(), header.get_dtype())


def _of_a_file(address: int) -> bool:
    """Tell whether an address lies in a mapping of a safetensors file: other memory would lose its numbers."""
    maps = Path("/proc/self/maps")
    for line in maps.read_text().splitlines() if maps.exists() else ():
        low, _, high = line.partition(" ")[0].partition("-")
        if int(low, 16) <= address < int(high, 16):
            return line.rstrip().endswith(".safetensors")
    return False


def _weight_map(url: str) -> dict[str, str]:
    content = storage.read_json(url)
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not all(isinstance(file, str) for file in found.values()):
        raise WeightsError(f"{url} has no weight_map of tensors to files")
    return found


def write_tensors(
    folder: str,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str | Mapping[str, str],
    tensors: Iterator[tuple[str, Any]],
    max_bytes: int,
) -> None:
    """Write tensors, which come in the order of `shapes`, as one file or as several with an index.

    dtype: of DTYPES, one for all or one a tensor; tensors are cast to it. A file has at most `max_bytes`, but at
    least one tensor. Memory: one tensor.
    """
    dtypes = dict.fromkeys(shapes, dtype) if isinstance(dtype, str) else dtype
    files = shared_out(shapes, dtypes, max_bytes)
    place: dict[str, str] = {}
    for file, sizes in files.items():
        place |= dict.fromkeys(sizes, file)
        write_file(storage.join(folder, file), {name: shapes[name] for name in sizes}, dtypes, tensors)
    if len(files) > 1:
        total = sum(sum(sizes.values()) for sizes in files.values())
        storage.write_json(
            storage.join(folder, INDEX), {"metadata": {"total_size": total}, "weight_map": dict(sorted(place.items()))}
        )


def shared_out(
    shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str], max_bytes: int
) -> dict[str, dict[str, int]]:
    """Return the files that `write_tensors` writes, each with its tensors' bytes, in order."""
    files = _cut({name: math.prod(shape) * width(dtypes[name]) for name, shape in shapes.items()}, max_bytes)
    if len(files) == 1:
        return {SINGLE: files[0]}
    return {f"model-{n:05d}-of-{len(files):05d}.safetensors": sizes for n, sizes in enumerate(files, 1)}


def write_file(
    url: str,
    shapes: Mapping[str, tuple[int, ...]],
    dtypes: Mapping[str, str],
    tensors: Iterator[tuple[str, Any]],
) -> None:
    """Write the next tensors, in the order of `shapes`, as one safetensors file, there whole or not at all.

    The format: the length of the header (u64, little endian), the header (JSON: type, shape and place of every
    tensor), the tensors' bytes without gaps.
    """
    with storage.writing(url) as stream:
        stream.write(_header(shapes, dtypes))
        for name, shape in shapes.items():
            given, tensor = next(tensors)
            assert (given, tuple(tensor.shape)) == (name, shape), (given, tuple(tensor.shape), name)
            stream.write(_bytes(tensor, dtypes[name]))


def width(dtype: str) -> int:
    """Return the bytes a number has. Raises WeightsError where tensors are not written as `dtype`."""
    if dtype not in DTYPES:
        raise WeightsError(f"dtype is {dtype!r}; weights are written as {', '.join(DTYPES)}")
    return DTYPES[dtype][1]


def _cut(sizes: dict[str, int], max_bytes: int) -> list[dict[str, int]]:
    """Share out tensors to files in order: a file ends before the tensor that would take it past `max_bytes`."""
    files: list[dict[str, int]] = [{}]
    for name, size in sizes.items():
        if files[-1] and sum(files[-1].values()) + size > max_bytes:
            files.append({})
        files[-1][name] = size
    return files


def _header(shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in shapes.items():
        size = math.prod(shape) * width(dtypes[name])
        entries[name] = {"dtype": DTYPES[dtypes[name]][0], "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text


def _bytes(tensor: Any, dtype: str) -> memoryview:
    import torch

    made = tensor.detach().to(device="cpu", dtype=getattr(torch, dtype)).contiguous()
    return memoryview(made.reshape(-1).view(torch.uint8).numpy())


@contextlib.contextmanager
def appearing(folder: str) -> Iterator[str]:
    """Give a folder to write into that takes the name `folder` when the block ends well; one there was goes then.

    In a file system it is written beside, and renamed; the place is locked for as long, and what a killed writer left
    is removed. An object store renames nothing and has no such lock: files are put in place one by one, and the reader
    must look for the one that is written last. Raises StorageError where another process writes the same folder.
    """
    if not storage.is_local(folder):
        storage.remove(folder)
        yield folder
        return
    final = storage.local_path(storage.absolute(folder))
    with contextlib.ExitStack() as held:
        try:
            lock = str(final.with_name(f".{final.name}.lock"))
            held.enter_context(storage.lock(lock, f"process {os.getpid()}", passing=True))
        except BlockingIOError as other:
            raise StorageError(f"{folder} is being written by {other}; wait for it, or name another folder") from None
        with _renamed(folder, final) as aside:
            yield aside


@contextlib.contextmanager
def _renamed(folder: str, final: Path) -> Iterator[str]:
    aside, old = (final.with_name(f".{final.name}.{doing}") for doing in ("writing", "removing"))
    _clear(aside, old, final)
    try:
        yield str(aside)
        if final.exists():
            final.rename(old)
        storage.publish(aside, final)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        _clear(aside, old, final)


def _clear(aside: Path, old: Path, final: Path) -> None:
    """Remove what was on its way; the former folder gets its name back where no other has it."""
    if old.exists() and not final.exists():
        old.rename(final)
    for left in (aside, old):
        shutil.rmtree(left, ignore_errors=True)
