"""How deduplication grows: 10 million sketches, verified pairs a second, two workers against one, memory."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence

from benchmarks import inputs, synthetic
from benchmarks.dedup_runs import FILES, ours
from benchmarks.measure import Cost, run
from benchmarks.report import Setting, ratio, setting, spread, table, write_result

BANDS = 20
DOCUMENTS = (1_000_000, 2_500_000, 5_000_000, 10_000_000)
PAIRS = 200_000
WAYS = (
    ("in memory, band by band", "lsh"),
    ("FuzzyDedup.fit on disk, no Dask", "fit", 0),
    ("FuzzyDedup.fit on disk, 2 workers", "fit", 2),
)
COPIES = (1, 2, 4)  # of the corpus, through the whole command


def program(given: Setting, task: str, *words: object) -> Cost:
    """Run one task of ours_scale once."""
    answer = given.work / "answer.json"
    return run([sys.executable, "-m", "benchmarks.ours_scale", task, answer, *map(str, words)], given.log(task), answer)


def sketches(given: Setting, sizes: Sequence[int]) -> str:
    """Return what LSH and clustering of synthetic sketches cost, by the number of documents and the way."""
    rows = []
    for documents in sizes:
        folder = given.made(
            f"sketches-{documents}-{BANDS}", lambda out, documents=documents: synthetic.make(out, documents, BANDS)
        )
        for name, task, *words in WAYS:
            costs = [program(given, task, folder, *words) for _ in range(given.rounds)]
            cpu = [c.answer["cpu"] for c in costs]
            memory = [f"{max(getattr(c, kind) for c in costs):,.0f}" for kind in ("main_mb", "worker_mb", "tree_mb")]
            rows.append([f"{documents:,}", name, str(len(cpu)), spread(cpu), spread(c.cpu for c in costs),
                         spread(c.answer["wall"] for c in costs), *memory])  # fmt: skip
    head = ["documents", "how", "runs", "CPU s of the call", "of the process tree", "wall s of the call",
            "peak MB of the main process", "of a worker", "of the tree"]  # fmt: skip
    return table(head, rows)


def verified(given: Setting) -> str:
    """Return pairs verified a CPU second, ours and with Python's sets."""
    found = [program(given, "verify", PAIRS).answer for _ in range(given.rounds)]
    seconds = {side: [f[side] for f in found] for side in ("ours", "sets")}
    rows = [
        [name, str(len(cpu)), spread(cpu, 3), f"{PAIRS / statistics.median(cpu):,.0f}", times]
        for name, cpu, times in (
            ("ours: sorted hashes, stops below 0.8", seconds["ours"], ""),
            ("Python sets, `len(a & b)`", seconds["sets"], ratio(seconds["sets"], seconds["ours"])),
        )
    ]
    alike = found[0]["alike"] / found[0]["pairs"]
    said = f"{PAIRS:,} pairs of 650 shingles each, similarities even between 0.5 and 1 ({alike:.0%} reach 0.8).\n\n"
    return said + table(["how", "runs", "CPU s", "pairs a CPU s", "times ours"], rows)


def workers(given: Setting) -> str:
    """Return CPU seconds of the whole command with one and two workers, in turn."""
    corpus = given.input("corpus.parquet")
    if given.quick:
        corpus = given.made(
            "slice.parquet", lambda out: inputs.cut_slice(given.input("corpus.parquet"), given.bench, out)
        )
    files = given.made(f"files-{corpus.stem}", lambda out: inputs.cut_parquet(corpus, out, FILES))
    costs: dict[int, list[Cost]] = {1: [], 2: []}
    for _ in range(given.rounds):
        for number, found in costs.items():
            found.append(ours(given, files, workers=number).cost)
    one = [c.cpu for c in costs[1]]
    rows = [
        [number, len(found), spread([c.cpu for c in found], 1), ratio([c.cpu for c in found], one),
         spread([c.wall for c in found], 1)]
        for number, found in costs.items()
    ]  # fmt: skip
    return table(["workers", "runs", "CPU s", "times one worker's", "wall s"], rows)


def memory(given: Setting) -> str:
    """Return memory of the whole command by the number of documents."""
    corpus, rows = given.input("corpus.parquet"), []
    for copies in COPIES:
        files = given.made(
            "gigabyte" if copies == 4 else f"copies-{copies}",
            lambda out, copies=copies: inputs.cut_parquet(corpus, out, FILES, copies),
        )
        made = ours(given, files)
        sizes = [f"{getattr(made.cost, kind):,.0f}" for kind in ("worker_mb", "main_mb", "tree_mb")]
        rows.append([f"{copies * len(inputs.corpus(corpus)):,}", copies * FILES, f"{len(made.kept):,}", *sizes])
    head = ["documents", "files", "kept", "peak MB of a worker", "of the main process", "of the tree"]
    return table(head, rows)


def main() -> None:
    """Measure and write the result."""
    more = {"documents": {"type": int, "nargs": "+", "default": DOCUMENTS, "metavar": "N"}}
    with setting(__doc__ or "", with_peers=False, **more) as given:
        body = [
            f"## LSH and clustering of synthetic sketches\n\n{BANDS} bands a document, from sketch files to components "
            "(in memory: of one array; FuzzyDedup: to lists of removals, `cluster: components`, `verify: false`). "
            f"30 % of the documents copy another one, J even between 0.5 and 1, {synthetic.ROWS} rows a band; what "
            "is connected is known, and checked. Memory counts mapped files; CPU seconds of the call leave out "
            "Dask's workers, those of the tree hold start-up and compiling.\n",
            sketches(given, given.given.documents),
            "\nTarget: 10 million documents in 5 CPU seconds, below 8 GB.\n\n## Verification\n",
            verified(given),
            "\nTarget: 200,000 pairs a CPU second.\n\n## Two workers against one\n\n"
            "`millrace curate dedup` on the corpus as Parquet files, whole process tree, in turn.\n",
            workers(given),
            "\nTarget: 1.15 times.\n",
        ]
        if not given.quick:
            body += ["## Memory\n\n`millrace curate dedup`, 2 workers, the corpus and perturbed copies of it.\n",
                     memory(given)]  # fmt: skip
        libraries = ["dask", "distributed", "pandas", "pyarrow", "numpy", "numba"]
        write_result("dedup_scale", "Deduplication, scale", given, libraries, "\n".join(body))


if __name__ == "__main__":
    main()
