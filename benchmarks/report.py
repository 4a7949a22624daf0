"""What the benchmarks share beside measuring: their command line, their tables, and their result files."""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import kept
from benchmarks.measure import ROOT
from millrace import tables

RESULTS = ROOT / "benchmarks" / "results"


def spread(values: Iterable[float], digits: int = 2) -> str:
    """Return "median (lowest to highest)"."""
    found = sorted(values)
    return f"{statistics.median(found):.{digits}f} ({found[0]:.{digits}f} to {found[-1]:.{digits}f})"


def ratio(peer: Sequence[float], ours: Sequence[float]) -> str:
    """Return the ratio of the medians, and the range of the ratios round by round."""
    middle = statistics.median(peer) / statistics.median(ours)
    if len(peer) != len(ours):
        return f"{middle:.1f}"
    each = sorted(p / o for p, o in zip(peer, ours, strict=True))
    return f"{middle:.1f} ({each[0]:.1f} to {each[-1]:.1f})"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


@dataclass(frozen=True)
class Setting:
    """What every benchmark is told on its command line, and a folder for its files."""

    bench: Path
    peers: Path | None  # None: a benchmark of ours alone
    rounds: int
    quick: bool
    work: Path
    given: argparse.Namespace

    def input(self, name: str) -> Path:
        """Return a file of the bench folder. Exits where it is absent."""
        path = self.bench / name
        if not path.is_file():
            sys.exit(f"no {name} in {self.bench}; --bench names the folder of the benchmark's input")
        return path

    def made(self, name: str, make: Callable[[Path], object]) -> Path:
        """Return a file or folder of the work folder, made where it is not kept from an earlier run."""
        return kept.once(self.work / name, make)

    def log(self, name: str) -> Path:
        return self.work / f"{name}.log"


@contextmanager
def setting(description: str, with_peers: bool = True, **more: dict[str, Any]) -> Iterator[Setting]:
    """Read the command line; `more` are further options, name to arguments of add_argument."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bench", type=Path, default=ROOT.parent / "shared" / "bench", metavar="FOLDER")
    if with_peers:
        parser.add_argument("--peers", type=Path, required=True, metavar="PYTHON", help="the peers' interpreter")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--quick", action="store_true", help="small input, no full run of a slow peer")
    parser.add_argument(
        "--work", type=Path, metavar="FOLDER", help="keep inputs that were cut and slow answers here, for another run"
    )
    for name, options in more.items():
        parser.add_argument(f"--{name}", **options)
    given = parser.parse_args()
    if not given.bench.is_dir():
        sys.exit(f"no folder {given.bench}; --bench names the folder of the benchmark's input")
    if with_peers and not given.peers.is_file():
        sys.exit(f"no interpreter {given.peers}; make a venv from benchmarks/peers.txt and name its python")
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as passing:
        bench, peers = given.bench.resolve(), given.peers.absolute() if with_peers else None
        work = given.work.resolve() / kept.digest(checksums(bench)) if given.work else Path(passing)
        work.mkdir(parents=True, exist_ok=True)
        yield Setting(bench, peers, given.rounds, given.quick, work, given)


def checksums(bench: Path) -> dict[str, str]:
    """Return the XXH3-128 of each file of the input: what is kept of another input is not used."""
    return {path.name: tables.checksum(str(path))["xxh3"] for path in sorted(bench.iterdir()) if path.is_file()}


def write_result(
    theme: str, title: str, given: Setting, libraries: Sequence[str], body: str, device: str = "no GPU used"
) -> None:
    """Write results/<theme>.md with where and on what it was measured (quick runs only print it)."""
    words = list(sys.argv[1:])
    places = {given.bench: "BENCH", given.peers: "PEERS", given.given.work and given.given.work.absolute(): "WORK"}
    words = [places.get(Path(w).absolute(), w) for w in words]
    script = Path(sys.argv[0])
    module = f"benchmarks.{script.parent.name if script.stem == '__main__' else script.stem}"
    words = [Path(w).name if w.startswith("/") else w for w in words]
    text = "\n".join(
        [
            f"# {title}\n",
            f"- command: `python -m {module} {' '.join(words)}`",
            f"- date: {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; commit: {commit()}",
            f"- hardware: {hardware()}, {device}; load at the end: {os.getloadavg()[0]:.1f}",
            f"- ours: {versions(libraries)}",
            *([f"- peers: {peer_versions(given.peers)}"] if given.peers else []),
            "- CPU s: user and system seconds, median (lowest to highest); a ratio is peer by ours, of the medians, "
            "with the range round by round\n",
            body.strip() + "\n",
        ]
    )
    print(text)
    if not given.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{theme}.md").write_text(text)


def commit() -> str:
    """Return the git commit, marked where the tree differs from it (this folder's results aside)."""
    asked = ("git", "-C", str(ROOT))
    name = subprocess.run([*asked, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True).stdout
    changed = subprocess.run(
        [*asked, "status", "--porcelain", "--", ".", ":!benchmarks/results"], capture_output=True, text=True
    ).stdout
    return name.strip() + (" + uncommitted changes" if changed.strip() else "")


def hardware() -> str:
    """Return processor, cores and memory."""
    info = Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
    named = {key.strip(): value.strip() for key, value in fields.items()}
    model = f"{named.get('model name', platform.machine())} (family {named.get('cpu family', '?')}, "
    model += f"model {named.get('model', '?')})"
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / 2**20
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB"


def versions(libraries: Sequence[str]) -> str:
    """Return Python's and the libraries' versions in this interpreter."""
    return ", ".join([f"Python {platform.python_version()}", *(f"{n} {metadata.version(n)}" for n in libraries)])


def peer_versions(python: Path) -> str:
    """Return the versions of the peers in their interpreter."""
    code = (
        "import platform,importlib.metadata as m;"
        "names='lm_eval datatrove rensa pydivsufsort spacy trafilatura lxml trl torch transformers accelerate "
        "tokenizers numpy pyarrow'.split(); there={d.name for d in m.distributions()};"
        "print(', '.join(['Python '+platform.python_version(),*(n+' '+m.version(n) for n in names if n in there)]))"
    )
    asked = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return asked.stdout.strip() or sys.exit(f"{python}: {asked.stderr.strip().splitlines()[-1]}")
