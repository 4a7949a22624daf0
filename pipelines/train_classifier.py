"""Read the sets a classifier is trained on, and say how good it became."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from curator import ReadJsonl, ReadParquet, spec
from curator.errors import BadFile, InputError, SpecError
from curator.filter.prepared import RECORD
from curator.filter.train_classifier import TrainQualityClassifier, train
from curator.stage import Part, Reader
from millrace import storage
from millrace.config import build, did_you_mean

BATCH_BYTES = 16 << 20
COMPRESSED = (".gz", ".zst", ".bz2", ".xz")
READERS: dict[str, type[Reader]] = {".jsonl": ReadJsonl, ".json": ReadJsonl, ".parquet": ReadParquet}
PLAIN = (".txt", ".md")  # one document a file


def from_files(
    positive: Sequence[str], negative: Sequence[str], output: str, text: str, settings: Sequence[str]
) -> dict[str, Any]:
    """Train on the files that globs name and return the record; `text` is the field of JSONL and Parquet.

    Documents without text are left out, as in a run. Raises what `train` does, and InputError for a file that
    cannot be read or is of no known kind.
    """
    name = TrainQualityClassifier.__name__
    [said] = spec.with_settings([{name: {}}], list(settings))
    chosen = build(TrainQualityClassifier, said[name])
    if not output.endswith(".bin"):
        raise SpecError(f"--output {output}: a fastText model ends in .bin")
    good, bad = _readers(positive, text), _readers(negative, text)  # so that all are found before any is read
    return train(chosen, _texts(good), _texts(bad), output)


def _readers(globs: Sequence[str], text: str) -> list[tuple[str, Reader | None]]:
    urls = sorted({file.url for glob in globs for file in storage.find(glob)})
    return [(url, _reader(url, text)) for url in urls]


def _reader(url: str, text: str) -> Reader | None:
    """Return the reader of a file, None for plain text."""
    end = url.lower()
    for packed in COMPRESSED:
        end = end.removesuffix(packed)
    end = "." + end.rpartition(".")[2]
    if end in READERS:
        return READERS[end](url, text=text)  # type: ignore[call-arg]
    if end in PLAIN and url.lower().endswith(PLAIN):
        return None
    known = (*READERS, *PLAIN)
    raise InputError(f"{url} is of no known kind.{did_you_mean(end, known)} Known: {', '.join(known)}; but .txt and"
                     " .md, packed by any of " + ", ".join(COMPRESSED))  # fmt: skip


def _texts(files: list[tuple[str, Reader | None]]) -> Iterator[pa.Array]:
    for url, reader in files:
        if reader is None:
            yield pa.array([storage.read_bytes(url).decode("utf-8", "replace")], pa.large_string())
            continue
        documents = 0
        try:
            for batch in reader.read(Part(0, url, ""), BATCH_BYTES):
                documents += len(batch.table)
                yield batch.table["text"].combine_chunks()
        except BadFile as error:
            raise InputError(f"{url}: {error}") from None
        if not documents:
            why = f": {batch.unread[0].reason}, {batch.unread[0].detail}" if batch.unread else ""
            raise InputError(f"{url} has no document{why}")


def describe(record: dict[str, Any], output: str) -> str:
    """Return the metrics in a few lines."""
    found = record["holdout"]
    lines = [
        f"model      {output} ({record['model']['bytes'] / 1e6:.1f} MB), its record {output}{RECORD}",
        *(
            f"{label:<10} {one['distinct']:,} texts of {one['given']:,} given, {one['held_out']:,} held out"
            for label, one in record["sets"].items()
        ),
        f"held out   ROC-AUC {found['roc_auc']:.4f}, average precision {found['average_precision']:.4f}",
        "min_score  precision  recall  other kept",
    ]
    for row in found["thresholds"]:
        precision = "-" if row["precision"] is None else f"{row['precision']:.3f}"
        lines.append(f"{row['threshold']:9.2f}  {precision:>9}  {row['recall']:6.3f}  {row['kept_negative']:10.3f}")
    return "\n".join(lines)
