"""Personal data: precision and recall on a labelled set, ours beside the peers, and the speed on real text."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks import inputs
from benchmarks.measure import ROOT, run
from benchmarks.pii_labelled import Document, documents
from benchmarks.pii_values import MAKERS
from benchmarks.report import Setting, ratio, setting, spread, table, write_result

Spans = list[tuple[int, int, str]]
DOCUMENTS, SEED = 600, 20_261
SLICE_MB = 20
PEERS = ("datatrove", "presidio", "scrubadub")
KINDS_OF = {
    "ours": tuple(MAKERS),
    "datatrove": ("email", "ip"),
    "presidio": ("email", "phone", "ip", "credit_card", "iban", "us_ssn"),
    "scrubadub": ("email", "phone", "credit_card", "us_ssn", "secret"),
}


def call(given: Setting, tool: str, source: Path) -> tuple[list[tuple[int, int, int, str]], float]:
    """Run one tool once over a file; return its spans and CPU seconds."""
    answer = given.work / "answer.json"
    python = given.given.pii if tool in ("presidio", "scrubadub") else given.peers
    if tool in ("stage", "re"):
        command = [sys.executable, "-m", "benchmarks.ours_pii", tool, source, answer]
    else:
        command = [python, Path(__file__).with_name("peer_pii.py"), tool, source, answer]
    said = run(command, given.log(tool), answer).answer
    return [tuple(span) for span in said["spans"]], said["cpu"]


def by_document(spans: Sequence[tuple[int, int, int, str]], count: int) -> list[Spans]:
    found: list[Spans] = [[] for _ in range(count)]
    for row, start, stop, kind in spans:
        found[row].append((start, stop, kind))
    return found


def score(made: list[Document], found: list[Spans], kind: str) -> tuple[int, int, int, int]:
    """Return of one kind: values planted, those inside a span of the kind (nothing leaks), spans found, and
    spans that touch a planted value of the kind."""
    planted = covered = right = spans = 0
    for document, each in zip(made, found, strict=True):
        own = [(a, b) for a, b, k in each if k == kind]
        there = [(a, b) for a, b, k in document.planted if k == kind]
        planted += len(there)
        covered += sum(any(a <= s and e <= b for a, b in own) for s, e in there)
        spans += len(own)
        right += sum(any(a < e and s < b for s, e in there) for a, b in own)
    return planted, covered, spans, right


def quality(given: Setting, made: list[Document], found: dict[str, list[Spans]]) -> str:
    rows = []
    for kind in MAKERS:
        row: list[object] = [kind, ""]
        for tool, kinds in KINDS_OF.items():
            planted, covered, spans, right = score(made, found[tool], kind)
            row[1] = f"{planted:,}"
            row += [f"{covered / planted:.3f}", f"{right / max(spans, 1):.3f}"] if kind in kinds else ["-", "-"]
        rows.append(row)
    head = [f"{tool} {number}" for tool in KINDS_OF for number in ("recall", "precision")]
    return table(["kind", "planted", *head], rows)


def mistaken(made: list[Document], found: dict[str, list[Spans]]) -> str:
    """Return how many look-alikes of each class were touched by a span of any kind."""
    total: Counter[str] = Counter(name for document in made for _, _, name in document.lookalikes)
    touched: dict[str, Counter[str]] = {tool: Counter() for tool in found}
    for tool, spans in found.items():
        for document, each in zip(made, spans, strict=True):
            for start, stop, name in document.lookalikes:
                touched[tool][name] += any(a < stop and start < b for a, b, _ in each)
    rows = [[name, f"{total[name]:,}", *(touched[tool][name] for tool in found)] for name in sorted(total)]
    return table(["look-alike", "planted", *found], rows)


def missed(made: list[Document], found: list[Spans]) -> str:
    """Return the shapes of telephone numbers that ours misses most, N for a digit."""
    shapes: Counter[str] = Counter()
    for document, each in zip(made, found, strict=True):
        data = document.text.encode()
        for start, stop, kind in document.planted:
            if kind == "phone" and not any(a <= start and stop <= b for a, b, k in each if k == kind):
                shapes["".join("N" if c.isdigit() else c for c in data[start:stop].decode())] += 1
    return table(["form", "missed"], shapes.most_common(12))


def speed(given: Setting, source: Path) -> str:
    """Return CPU seconds on the slice: ours and datatrove in turn, `re` once in the middle."""
    size = inputs.text_mb(inputs.corpus(source))
    seconds: dict[str, list[float]] = {"stage": [], "datatrove_format": [], "re": []}
    counts: dict[str, Counter[str]] = {}
    for number in range(given.rounds):
        for tool in ("stage", "datatrove_format", *(["re"] if number == given.rounds // 2 else [])):
            spans, cpu = call(given, tool, source)
            seconds[tool].append(cpu)
            counts[tool] = Counter(kind for *_, kind in spans)
    counts["datatrove_format"] = Counter(kind for *_, kind in call(given, "datatrove", source)[0])
    named = {
        "stage": "RedactPii, seven kinds",
        "re": "the same searches by `re` on every line",
        "datatrove_format": "PIIFormatter, two kinds",
    }
    rows = [
        [
            named[tool],
            len(cpu),
            spread(cpu),
            f"{size / sorted(cpu)[len(cpu) // 2]:.1f}",
            "" if tool == "stage" else ratio(cpu, seconds["stage"]),
            ", ".join(f"{kind} {n}" for kind, n in sorted(counts[tool].items())),
        ]
        for tool, cpu in seconds.items()
    ]
    return table([f"{size:.1f} MB", "runs", "CPU s", "MB/s", "ratio to ours", "found"], rows)


def main() -> None:
    """Make the set, run each tool over it, then the rounds on real text."""
    paths = {"type": Path, "metavar": "PATH"}
    with setting(
        __doc__ or "",
        data={**paths, "default": ROOT.parent / "shared" / "data", "help": "folder of the sentences' text"},
        pii={**paths, "required": True, "help": "interpreter that has presidio-analyzer and scrubadub"},
    ) as given:
        made = list(documents(400 if given.quick else DOCUMENTS, given.given.data, SEED))
        labelled = given.work / "labelled.jsonl"
        labelled.write_text("".join(json.dumps({"text": d.text}) + "\n" for d in made))
        found = {"ours": by_document(call(given, "stage", labelled)[0], len(made))}
        found |= {tool: by_document(call(given, tool, labelled)[0], len(made)) for tool in PEERS}
        source = inputs.cut_slice(
            given.input("corpus.parquet"), given.bench, given.work / "slice.parquet", 2 if given.quick else SLICE_MB
        )
        write(given, made, found, speed(given, source))


def write(given: Setting, made: list[Document], found: dict[str, list[Spans]], speeds: str) -> None:
    """Write the result."""
    characters = sum(len(document.text) for document in made)
    body = [
        f"Labelled set: {len(made):,} documents, {characters / 1e6:.1f} million characters, seed {SEED}. Sentences of "
        "real web text and news without digits (`--data`) around planted values and look-alikes, one to one; values "
        "by rules of their own (`benchmarks/pii_values.py`), telephone numbers of 30 countries; half of them after a "
        "word that names them, half anywhere. The detector's rules were corrected on sets of other seeds from the same "
        "generator, so its own columns are better than on forms nobody thought of. Recall: the value lies wholly "
        "in a span of its kind. Precision: spans that touch a planted value of their kind. The peers as they come: "
        "datatrove's PIIFormatter; Presidio's pattern recognisers (scores above 0, no language model, so no words "
        "around); scrubadub's default detectors, en_US. `-`: not offered.\n",
        "## Precision and recall\n",
        quality(given, made, found),
        "\n## Look-alikes taken for personal data\n",
        mistaken(made, found),
        "\n## Telephone numbers that ours misses\n",
        missed(made, found["ours"]),
        "\n## Speed, and what is found in real text\n",
        "The whole call: decoded text in, edited text and signals out; one thread, a fresh process a round, warm. "
        "Nobody labelled this text.\n",
        speeds,
    ]
    write_result("pii", "Personal data, precision, recall and speed", given, ["numpy", "pyarrow"], "\n".join(body))


if __name__ == "__main__":
    main()
