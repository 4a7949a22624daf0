"""A crawl to tokens as a whole command: `millrace curate web` and datatrove's pipeline of the same stages."""

from __future__ import annotations

import json
import shutil
import statistics
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import quality
from benchmarks.inputs import cut_warc
from benchmarks.measure import Cost, run
from benchmarks.report import Setting, ratio, setting, spread, table, write_result
from curator.identify.model import lid_model
from curator.kernels import shingles
from curator.kernels.arrow import flatten

FILES = 4
WORKERS = 2
EVERY = 10  # pages: the slice has each tenth, about 20 MB of HTML
TOKENIZER = {"tokenizer": {"type": Path, "required": True, "metavar": "FILE", "help": "a tokenizer.json"}}


@dataclass(frozen=True)
class Run:
    """One run of one side."""

    cost: Cost
    read: int  # pages
    tokens: int
    texts: dict[str, str]  # kept documents by WARC-Record-ID

    def near_duplicates(self) -> int:
        """Count the pairs of kept documents with Jaccard similarity of at least the threshold."""
        column = pa.array(self.texts.values(), pa.large_string())
        return len(quality.similar_pairs(*shingles.sets(*flatten(column), quality.WIDTH), quality.THRESHOLD)[0])


def ours(given: Setting, source: Path, *options: str) -> Run:
    """Run our command once on a folder of WARC files."""
    out = given.work / "ours"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "pipelines.cli", "curate", "web", "--input", f"{source}/*.warc.gz"]
    command += ["--output", str(out), "--tokenizer", str(given.given.tokenizer.absolute())]
    cost = run([*command, "--workers", str(WORKERS), "--device", "cpu", *options], given.log("ours"))
    said = json.loads((out / "run.json").read_text())
    kept: dict[str, str] = {}
    for file in sorted((out / "documents").glob("*.parquet")):
        columns = pq.read_table(file, columns=["id", "text"]).to_pydict()
        kept |= dict(zip(map(plain, columns["id"]), columns["text"], strict=True))
    return Run(cost, said["read"], said["tokens"]["tokens"], kept)


def peer(given: Setting, source: Path, words: str = "spacy", engine: str = "ours") -> Run:
    """Run datatrove's pipeline once on a folder of WARC files."""
    out = given.work / "peer"
    shutil.rmtree(out, ignore_errors=True)
    said = {
        "input": str(source), "output": str(out), "files": FILES, "words": words, "engine": engine,
        "tokenizer": str(given.given.tokenizer.absolute()),
    }  # fmt: skip
    program = Path(__file__).with_name("peer_pipelines.py")
    cost = run([given.peers, program, "web", json.dumps(said)], given.log("peer"), LID_MODEL=lid_model())
    stats = json.loads((out / "logs" / "texts" / "stats.json").read_text())
    tokens = sum(file.stat().st_size // 2 for file in (out / "tokens").glob("*.ds"))  # two bytes a token
    return Run(cost, total(stats[0]["stats"]["documents"]), tokens, kept_by_peer(out))


def total(count: Any) -> int:
    """Return a count of datatrove's stats, which is a number or a summary."""
    return int(count["total"] if isinstance(count, dict) else count)


def kept_by_peer(out: Path) -> dict[str, str]:
    """Return the documents of its intermediate texts that its MinHash stage does not remove."""
    kept = {}
    for rank, file in enumerate(sorted((out / "texts").glob("*.jsonl"))):
        remove = out / "remove" / f"{rank:06d}.remove"
        content = remove.read_bytes() if remove.exists() else b""
        gone = {row for (row,) in struct.iter_unpack("<I", content)}
        with file.open() as lines:
            for row, line in enumerate(lines):
                if row not in gone:
                    document = json.loads(line)
                    kept[plain(document["id"])] = document["text"]
    return kept


def plain(name: str) -> str:
    """Return a WARC-Record-ID without its brackets."""
    return name.strip("<>").removeprefix("urn:uuid:")


def row(name: str, side: str, runs: list[Run], own: list[Run] | None) -> list[str]:
    """Return one row of the table; `own` are our runs on the same input, None for them themselves."""
    cpu, first = [r.cost.cpu for r in runs], runs[0]
    speed = spread([r.read / r.cost.cpu for r in runs], 1)
    both = len(first.texts.keys() & own[0].texts.keys()) if own else 0
    only = f"{both:,} / {len(first.texts) - both:,} / {len(own[0].texts) - both:,}" if own else ""
    slower = ratio([r.cost.cpu / r.read for r in runs], [r.cost.cpu / r.read for r in own]) if own else ""
    return [name, side, str(len(runs)), f"{first.read:,}", spread(cpu, 1), speed, slower,
            spread([r.cost.wall for r in runs], 1), f"{max(r.cost.worker_mb for r in runs):,.0f}",
            f"{len(first.texts):,}", only, f"{first.tokens:,}", str(first.near_duplicates())]  # fmt: skip


def main() -> None:
    """Measure, compare what was kept, and write the result."""
    with setting(__doc__ or "", **TOKENIZER) as given:
        if not given.given.tokenizer.is_file():
            sys.exit(f"no file {given.given.tokenizer}; --tokenizer names a tokenizer.json")
        crawl = given.input("docs.warc.gz")
        small = given.made("web-slice", lambda out: cut_warc(crawl, out, FILES, EVERY))
        bare = given.made("web-bare", lambda out: cut_warc(crawl, out, FILES, EVERY, typed=False))
        own, other = [], []
        for _ in range(given.rounds):
            own.append(ours(given, small))
            other.append(peer(given, small))
        name = f"slice: each {EVERY}th page"
        rows = [row(name, "ours", own, None), row(name, "datatrove, our engine settings", other, own)]
        if not given.quick:
            rows.append(row(name, "the same, Gopher by whitespace words", [peer(given, small, "whitespace")], own))
            rows.append(row(name, "datatrove, its own engine settings", [peer(given, small, engine="datatrove")], own))
            rows.append(row(name, "datatrove, no types in the WARC", [peer(given, bare)], own))
            whole = given.made("web-whole", lambda out: cut_warc(crawl, out, FILES))
            before, there, after = ours(given, whole), peer(given, whole), ours(given, whole)
            lines = [row("whole crawl", "ours", [before, after], None),
                     row("whole crawl", "datatrove, our engine settings", [there], [before, after])]  # fmt: skip
            rows = [*lines, *rows]
            started = start_up(given, own, [before, after])
        head = ["input", "tool", "runs", "pages read", "CPU s", "pages/CPU s", "times ours, a page",
                "wall s", "peak MB of a worker", "kept", "both / only it / only ours", "tokens",
                "pairs J >= 0.8 left"]  # fmt: skip
        body = [
            "Whole command, whole process tree, WARC in and token files out, 2 workers, 4 WARC files whose records "
            "name the payload's type as Common Crawl's do (without it datatrove asks libmagic and drops pages: last "
            "row). Ours: `millrace curate web` with its defaults. datatrove: WarcReader, Trafilatura, LanguageFilter "
            "(the same lid.176.ftz), GopherQuality, GopherRepetition, JsonlWriter, MinHash in 4 stages, "
            "DocumentTokenizer with the same tokenizer. Engine settings alike: trafilatura, fast (its `no_fallback`), "
            "neither precision nor recall, no comments, tables, no deduplication, 10 s a page; its own: "
            "favour_precision, deduplicate, with fallback, 1 s. datatrove 0.10 pins trafilatura below 1.12.\n",
            table(head, rows),
            "\nTarget: 4 times the pages a CPU second.",
            *([started] if not given.quick else []),
        ]
        libraries = ["trafilatura", "lxml", "fastwarc", "fasttext", "tokenizers", "dask", "pandas", "pyarrow", "numba"]
        write_result("web_command", "A crawl to tokens, whole command", given, libraries, "\n".join(body))


def start_up(given: Setting, small: list[Run], whole: list[Run]) -> str:
    """Return our cost a page beyond the start-up, from the slice and the whole crawl."""
    less, more = (statistics.median(r.cost.cpu for r in runs) for runs in (small, whole))
    each = (more - less) / (whole[0].read - small[0].read)
    return f"Ours, from both inputs: {1000 * each:.1f} ms a page and {less - each * small[0].read:.1f} s a run (CPU)."


if __name__ == "__main__":
    main()
