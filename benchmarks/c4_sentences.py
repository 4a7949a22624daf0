"""C4's rules: how often our rule for sentences differs from datatrove's spaCy, and what both sides cost."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import inputs
from benchmarks.measure import run
from benchmarks.report import Setting, ratio, setting, spread, table, write_result
from curator import frames
from curator.clean.c4_lines import C4Lines
from curator.filter.c4 import C4Quality
from curator.run.batches import first_reasons
from curator.stage import Filter, Frame

SMALL_MB = 3
BEGINNINGS_MB = 15  # of the documents whose beginnings are the second input
BEGINNING = 600  # characters: so short that the limit of five sentences matters
LEFT_TO_QUALITY = ("lorem_ipsum", "curly_bracket")


@dataclass
class Judged:
    """What one side did to each document of an input."""

    cpu: float
    reasons: list[str]
    sentences: list[int]
    left: list[str]  # digests of texts


def ours(text: pa.LargeStringArray) -> Judged:
    """Judge every text by C4Lines and, what it left, by C4Quality."""
    frame = frames.from_arrow(pa.table({"text": text}))
    before = time.process_time()
    lines, quality = C4Lines(min_characters=0), C4Quality()
    left = lines.measure(frame)
    signals = quality.measure(left)
    reasons = reasons_of(quality, signals)
    cpu = time.process_time() - before
    texts = frames.column_to_arrow(left["text"]).to_pylist()
    digests = [hashlib.sha256(one.encode()).hexdigest() for one in texts]
    return Judged(cpu, reasons, signals["sentences"].tolist(), digests)


def reasons_of(stage: Filter, signals: Frame) -> list[str]:
    """Return the first reason to drop each document, "" where it stays."""
    said = np.full(len(signals), "", dtype=object)
    for reason, mask in first_reasons(stage.reject(signals)).items():
        said[mask.to_numpy(dtype=bool)] = reason
    return said.tolist()


def theirs(given: Setting, source: Path) -> dict[str, Judged]:
    """Return datatrove's answers: `default`, and `lines` with its limit on sentences off."""
    answer = given.work / "answer.json"
    said = run([given.peers, Path(__file__).with_name("peer_c4.py"), source, answer], given.log("c4"), answer).answer
    return {name: Judged(**judged) for name, judged in said.items()}


def disagreement(own: Judged, peer: dict[str, Judged]) -> dict[str, Any]:
    """Count the documents on which the sides differ; of sentences, among those that no other rule drops."""
    differ = {"documents": len(own.reasons), "texts": 0, "other": 0, "counts": 0, "decisions": 0, "judged": 0}
    difference = []
    for row, reason in enumerate(own.reasons):
        lines, default = peer["lines"], peer["default"]
        dropped = lines.reasons[row] != ""
        differ["other"] += dropped != (reason in LEFT_TO_QUALITY)
        if dropped:
            continue
        differ["judged"] += 1
        differ["texts"] += own.left[row] != lines.left[row]
        differ["counts"] += own.sentences[row] != default.sentences[row]
        differ["decisions"] += (reason != "") != (default.reasons[row] != "")
        difference.append(own.sentences[row] - default.sentences[row])
    return differ | {
        "off": np.abs(difference).sum(),
        "total": sum(own.sentences),
        "few": own.reasons.count("few_sentences"),
    }


def beginnings(source: Path, out: Path) -> None:
    """Write the first BEGINNING characters of each document."""
    whole = inputs.corpus(source)
    text = pc.utf8_slice_codeunits(whole["text"], 0, BEGINNING)
    pq.write_table(pa.table({"id": whole["id"], "text": text}), out)


def main() -> None:
    """Compare document by document, measure, and write the result."""
    with setting(__doc__ or "") as given:
        corpus = given.input("corpus.parquet")
        small = given.made("c4.parquet", lambda out: inputs.cut_slice(corpus, given.bench, out, SMALL_MB, seed=2))
        more = given.made("more.parquet", lambda out: inputs.cut_slice(corpus, given.bench, out, BEGINNINGS_MB, seed=3))
        short = given.made("short.parquet", lambda out: beginnings(more, out))
        sentences, costs = [], []
        for name, source in (("seeded slice", small), (f"first {BEGINNING} characters of documents", short)):
            text = inputs.corpus(source)["text"].combine_chunks()
            ours(text.slice(0, 20))  # compiles
            own, peer = [], []
            for _ in range(1 if given.quick else given.rounds):
                own.append(ours(text))
                peer.append(theirs(given, source))
            found = disagreement(own[0], peer[0])
            sentences.append(disagreements(name, found))
            costs.append(cost(name, inputs.text_mb(inputs.corpus(source)), own, peer))
        body = [
            "Library call: decoded text in; the text that is left, the number of sentences and the decision out; one "
            "thread, warmed up, sides in turn. Ours: C4Lines, then C4Quality on what it left, measured on every "
            "document. datatrove: C4QualityFilter with its defaults (spaCy's sentencizer), and with the limit on "
            "sentences off.\n",
            table(["input", "documents", "text left differs", "lorem ipsum or { decided otherwise",
                   "judged by sentences", "other number of sentences", "sentences more or less",
                   "dropped by us for few", "decision differs"], sentences),
            "",
            table(["input", "MB", "runs", "ours CPU s", "ours MB/s", "datatrove CPU s", "ratio",
                   "without sentences CPU s", "ratio "], costs),
            "\nTarget: no text and no other decision different. The rule is that of `curator.kernels.sentences`.",
        ]  # fmt: skip
        write_result("c4_sentences", "C4: sentences, decisions and cost", given, ["numba", "numpy", "pyarrow"],
                     "\n".join(body))  # fmt: skip


def disagreements(name: str, found: dict[str, Any]) -> list[str]:
    """Return one row of the first table."""
    judged = max(1, found["judged"])
    return [
        name,
        f"{found['documents']:,}",
        str(found["texts"]),
        str(found["other"]),
        f"{found['judged']:,}",
        f"{found['counts']} ({100 * found['counts'] / judged:.2f} %)",
        f"{found['off']} of {found['total']:,}",
        str(found["few"]),
        f"{found['decisions']} ({100 * found['decisions'] / judged:.2f} %)",
    ]


def cost(name: str, megabytes: float, own: list[Judged], peer: list[dict[str, Judged]]) -> list[str]:
    """Return one row of the second table."""
    mine = [judged.cpu for judged in own]
    default, lines = ([answer[which].cpu for answer in peer] for which in ("default", "lines"))
    speed = spread([megabytes / seconds for seconds in mine], 0)
    return [name, f"{megabytes:.1f}", str(len(own)), spread(mine, 3), speed,
            spread(default, 1), ratio(default, mine), spread(lines), ratio(lines, mine)]  # fmt: skip


if __name__ == "__main__":
    main()
