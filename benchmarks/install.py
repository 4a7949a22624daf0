"""What the core install costs: packages, megabytes, seconds, and seconds to import.

python -m benchmarks.install     (needs the package index; writes results/install.md)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks/results/install.md"


def seconds(*command: str) -> float:
    """Run a command to its end and return its wall time."""
    began = time.monotonic()
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - began


def megabytes(folder: Path, bytecode: bool) -> float:
    """Return the size of a folder's files, of bytecode or of all else."""
    files = (p for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return sum(p.stat().st_size for p in files if (p.suffix == ".pyc") == bytecode) / 1e6


def main() -> None:
    """Install into a fresh environment, fastText's own build apart, and write the result."""
    with tempfile.TemporaryDirectory() as place:
        seconds(sys.executable, "-m", "venv", place)
        packages = Path(place, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
        before = {bytecode: megabytes(packages, bytecode) for bytecode in (False, True)}
        python = str(Path(place, "bin/python"))
        install = (python, "-m", "pip", "install", "-q", "--no-cache-dir", "-c", "constraints.txt")
        fasttext = seconds(*install, "fasttext")
        core = seconds(*install, ".")
        listed = subprocess.run(
            [python, "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
        )
        names = {line.partition("==")[0].lower() for line in listed.stdout.split()}
        rows = {
            "packages beside pip, setuptools and millrace": len(names - {"pip", "setuptools", "millrace"}),
            "fastText and its build, seconds": f"{fasttext:.0f}",
            "the rest, seconds": f"{core:.0f}",
            "files, MB": f"{megabytes(packages, False) - before[False]:.0f}",
            "bytecode, MB": f"{megabytes(packages, True) - before[True]:.0f}",
        }
        for code in ("import curator", "from curator import *"):
            times = sorted(seconds(python, "-c", code) - seconds(python, "-c", "") for _ in range(5))
            rows[f"`{code}`, seconds over an empty program (median of 5)"] = f"{times[2]:.2f}"
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    head = ["# Core install", "", "- command: `python -m benchmarks.install`", f"- Python {sys.version.split()[0]}", ""]
    RESULT.write_text("\n".join([*head, "| what | |", "| --- | --- |", *lines, ""]))
    sys.stdout.write(RESULT.read_text())


if __name__ == "__main__":
    main()
