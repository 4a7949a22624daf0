"""Precision and recall of near-duplicate removal by Jaccard bin: ours, datatrove, text-dedup and rensa."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import inputs, jaccard_bins, kept, quality
from benchmarks.jaccard_bins import LABELS, Pairs
from benchmarks.measure import run
from benchmarks.report import Setting, peer_versions, setting, table, write_result
from curator.kernels import shingles
from curator.kernels.arrow import flatten

LOWEST = float(jaccard_bins.EDGES[0])
HERE = Path(__file__).parent
TEXTDEDUP = {
    "textdedup": {"type": Path, "required": True, "metavar": "PYTHON", "help": "text-dedup's interpreter"}
}  # fmt: skip


@dataclass(frozen=True)
class Tool:
    """One tool with its settings."""

    name: str
    program: str  # of this folder
    words: tuple[str, ...] = ()  # its first arguments
    settings: dict[str, Any] = field(default_factory=dict)  # of ours: fields of FuzzyDedup


OURS = (
    Tool("ours, 14 x 8", "ours_library.py", ("dedup",)),
    Tool("ours, 20 x 7", "ours_library.py", ("dedup",), {"bands": 20, "rows": 7}),
    Tool("ours, 32 x 8", "ours_library.py", ("dedup",), {"bands": 32, "rows": 8}),
)
PEERS = (
    Tool("datatrove, 14 x 8", "peer_library.py", ("datatrove",)),
    Tool("text-dedup, 14 x 8", "peer_textdedup.py"),
    Tool("rensa, 14 x 8", "peer_library.py", ("rensa",)),
)


def removed(given: Setting, tool: Tool, source: Path) -> dict[str, Any]:
    """Run a tool once; return {"removed": rows} and, of ours, {"witness": a kept row for each}."""
    out = given.work / "answer.json"
    if tool in OURS:
        words: list[str | Path] = [sys.executable, "-m", "benchmarks.ours_library", *tool.words, source, out]
        return run([*words, json.dumps(tool.settings)], given.log("ours"), out).answer
    python = given.given.textdedup.absolute() if "textdedup" in tool.program else given.peers
    return run([python, HERE / tool.program, *tool.words, source, out], given.log(tool.program), out).answer


def answers(given: Setting, source: Path) -> dict[str, dict[str, Any]]:
    """Return each tool's answer; those of the peers are kept in the work folder."""
    said = {tool.name: removed(given, tool, source) for tool in OURS}
    for tool in PEERS:
        versions = textdedup_versions(given) if "textdedup" in tool.program else peer_versions(given.peers)
        said[tool.name] = kept.peer_answer(
            given.work,
            HERE / tool.program,
            tool.words,
            source,
            versions,
            lambda tool=tool: removed(given, tool, source),
        )
    return said


def textdedup_versions(given: Setting) -> str:
    """Return text-dedup's version in its interpreter."""
    code = "import importlib.metadata as m; print('text-dedup', m.version('text-dedup'))"
    asked = subprocess.run([given.given.textdedup, "-c", code], capture_output=True, text=True)
    return asked.stdout.strip() or sys.exit(f"{given.given.textdedup}: {asked.stderr.strip().splitlines()[-1]}")


def all_pairs(given: Setting, source: Path, text: pa.Table) -> Pairs:
    """Return all pairs of the corpus from the lowest edge up, exactly; the join takes about two minutes."""

    def join(out: Path) -> None:
        sets = shingles.sets(*flatten(text["text"].combine_chunks()), quality.WIDTH)
        a, b, jaccard = quality.similar_pairs(*sets, LOWEST)
        with out.open("wb") as stream:
            np.savez(stream, a=a, b=b, jaccard=jaccard)

    with np.load(given.made(f"pairs-{source.stem}.npz", join)) as found:
        a, b, jaccard = (found[name] for name in ("a", "b", "jaccard"))
    return Pairs(a, b, jaccard, np.full(len(a), ""))


def kept_rows(answer: dict[str, Any], rows: int, pairs: Pairs) -> np.ndarray:
    """Return bool (rows): what an answer keeps. Exits where a witness of ours was dropped or does not suffice."""
    stays = np.ones(rows, bool)
    gone = np.array(answer["removed"], np.int64)
    stays[gone] = False
    if "witness" in answer:
        alike = pairs.among(pairs.jaccard >= quality.THRESHOLD)
        known = quality.Alike(rows, alike.a, alike.b, alike.jaccard, np.zeros((0, 2), np.int64), 0.0)
        if not quality.witnesses_hold(known, gone, np.array(answer["witness"], np.int64), stays):
            sys.exit("a witness of ours was dropped, or is below the threshold")
    return stays


def by_bin(pairs: Pairs, chosen: dict[str, np.ndarray]) -> str:
    """Return a table of the share of pairs found in each bin; a line a tool, after one of their numbers."""
    rows = [["pairs", *jaccard_bins.counts(pairs)]]
    rows += [[name, *jaccard_bins.shares(pairs, stays)] for name, stays in chosen.items()]
    return table(["", *LABELS], rows)


def by_kind(pairs: Pairs, chosen: dict[str, np.ndarray]) -> str:
    """Return a table of the share found by edit kind, of pairs at or above the threshold."""
    alike = pairs.among(pairs.jaccard >= quality.THRESHOLD)
    kinds = sorted(set(alike.kind))
    rows: list[list[str]] = [["pairs", *(f"{(alike.kind == kind).sum():,}" for kind in kinds), f"{len(alike.a):,}"]]
    for name, stays in chosen.items():
        yes = jaccard_bins.found(alike, stays)
        rows.append([name, *(jaccard_bins.share(yes[alike.kind == kind]) for kind in kinds), jaccard_bins.share(yes)])
    return table(["", *kinds, "all"], rows)


def by_partner(pairs: Pairs, chosen: dict[str, np.ndarray]) -> str:
    """Return a table of removals by their best kept partner, precision, and what was lost or left."""
    alike = pairs.among(pairs.jaccard >= quality.THRESHOLD)
    rows = []
    for name, stays in chosen.items():
        counts = jaccard_bins.removals(pairs, stays)
        right = sum(n for n, label in zip(counts, LABELS, strict=True) if label in LABELS[4:])
        lost, clusters = jaccard_bins.clusters_lost(pairs, stays)
        left = int((~jaccard_bins.found(alike, stays)).sum())
        precision = f"{100 * right / max(sum(counts), 1):.2f} %"
        rows.append([name, f"{sum(counts):,}", precision, *(f"{n:,}" for n in counts), f"{lost:,} of {clusters:,}",
                     f"{left:,} of {len(alike.a):,}"])  # fmt: skip
    return table(["", "removed", "precision", *LABELS, "clusters lost", "pairs J >= 0.8 left"], rows)


def main() -> None:
    """Run every tool once, judge, and write the result."""
    with setting(__doc__ or "", **TEXTDEDUP) as given:
        source = given.input("corpus.parquet")
        if given.quick:
            source = given.made("slice.parquet", lambda out: inputs.cut_slice(source, given.bench, out))
        text = inputs.corpus(source)
        pairs = all_pairs(given, source, text)
        chosen = {name: kept_rows(said, len(text), pairs) for name, said in answers(given, source).items()}
        planted = jaccard_bins.read_pairs(text, given.input("truth.parquet"), "copy_id", "source_id")
        natural = jaccard_bins.read_pairs(text, given.input("natural_pairs.parquet"), "id_a", "id_b")
        write(given, text, pairs, planted, natural, chosen)


def write(
    given: Setting, text: pa.Table, pairs: Pairs, planted: Pairs, natural: Pairs, chosen: dict[str, np.ndarray]
) -> None:
    """Write the result."""
    body: Sequence[str] = [
        f"{len(text):,} documents, {inputs.text_mb(text):.1f} MB. Similarity: exact Jaccard of the sets of 5 "
        f"consecutive words (`\\w+`, lower-cased). All {len(pairs.a):,} pairs of J >= {LOWEST} are known, by a "
        "prefix-filtering join. Each tool runs once, on the whole text, with 5-word shingles and the bands x rows "
        "named, in its own normalisation, and its defaults else. Ours removes a document only for a kept one of exact "
        "J >= 0.8 (checked); the others remove what shares a band, by components (datatrove, text-dedup) or by the "
        f"first that shares one (rensa). Beside datatrove: {textdedup_versions(given)}.\n",
        "## Planted pairs found\n",
        "Share of pairs of which not both documents were kept. At 0.8 and above it is recall, and 1 is right; below, "
        "a tool with this threshold should keep both, and 0 is right unless another document is to blame.\n",
        by_bin(planted, chosen),
        "\n## Natural pairs found\n",
        by_bin(natural, chosen),
        "\n## Planted pairs J >= 0.8 found, by edit\n",
        by_kind(planted, chosen),
        "\n## Removals by their best kept partner\n",
        "Precision: removals with a kept partner of J >= 0.8. Columns: in which bin lies the kept document that is "
        "most like the removed one. A cluster, connected by pairs of J >= 0.8, is lost where nothing of it was kept.\n",
        by_partner(pairs, chosen),
    ]
    write_result("dedup_quality", "Near-duplicates, precision and recall", given, ["numba", "numpy", "pyarrow"],
                 "\n".join(body))  # fmt: skip


if __name__ == "__main__":
    main()
