"""One export: refused before anything is written, written aside, tested, and only then given its name."""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import Any

from millrace import __version__, storage
from millrace.errors import StorageError
from pretrain.hf.folder import appearing
from serve.errors import ServeSettingsError
from serve.export.card import card
from serve.export.format import Format, Verdict
from serve.export.source import Source

RECORD = "export.json"  # what an export was made of, and what its test found; by it a folder is known as one


@dataclass(frozen=True)
class Exported:
    """A folder that was written and tested."""

    folder: str
    files: int
    bytes: int  # of all files
    tensors: int  # of the source
    conversion_seconds: float  # reading, converting and writing, with everything onto the disk
    calibration_seconds: float
    test_seconds: float
    verdict: Verdict


def export(source: Source, target: Format, folder: str) -> Exported:
    """Write `folder` in a format, test it, and let it take its name; a test that fails leaves no folder.

    An export that is there already is replaced. Raises ExportError, ServeSettingsError, StorageError.
    """
    refuse_place(source, folder)
    target.refuse(source)
    with appearing(folder) as place:
        began = time.perf_counter()
        calibration = target.write(source, place)
        written = time.perf_counter()
        verdict = target.test(source, place)
        tested = time.perf_counter()
        storage.write_json(storage.join(place, RECORD), _record(source, target, verdict))
        storage.write_bytes(storage.join(place, "README.md"), card(source, target, verdict).encode())
        sizes = [storage.size(storage.join(place, name)) for name in storage.list_folder(place)]
    files = [size for size in sizes if size is not None]
    return Exported(
        folder, len(files), sum(files), len(source.shapes), written - began - calibration, calibration,
        tested - written, verdict,
    )  # fmt: skip


def refuse_place(source: Source, folder: str) -> None:
    """Raise ServeSettingsError for an output that is no local folder, that holds something else, or the source."""
    if not storage.is_local(folder):
        raise ServeSettingsError(
            f"--output is {folder}; an export is tested where it is written, in a local folder: copy it then"
        )
    place, model = storage.absolute(folder), storage.absolute(source.name)
    if f"{model}/".startswith(f"{place}/"):
        raise ServeSettingsError(f"--output is {folder}, which holds the model itself: {source.name}")
    try:
        there = storage.list_folder(folder)
    except StorageError as error:
        raise ServeSettingsError(str(error)) from None
    if there and RECORD not in there:
        holds = ", ".join(there[:8]) + (", ..." if len(there) > 8 else "")
        raise ServeSettingsError(f"--output is {folder}, which is there and no export ({RECORD}); it holds {holds}")


def _record(source: Source, target: Format, verdict: Verdict) -> dict[str, Any]:
    return {
        "millrace": __version__, "format": target.name, "settings": dataclasses.asdict(target),  # type: ignore[call-overload]
        "source": source.name, "family": source.family, "source_dtype": source.dtype,
        "parameters": parameters(source), "test": dataclasses.asdict(verdict),
    }  # fmt: skip


def parameters(source: Source) -> int:
    """Return how many numbers the tensors of a source have."""
    return sum(math.prod(shape) for shape in source.shapes.values())
