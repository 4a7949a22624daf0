"""What is stored of every document, a row group at a time: its signals, its length, and who dropped it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import RunError
from curator.run.folder import RunFolder
from curator.stage import CHARACTERS
from millrace import storage, tables

KEPT = np.iinfo(np.int32).max  # the place of the stage that dropped a document nobody dropped


@dataclass(frozen=True)
class Rows:
    """Some documents of one part, by doc_id."""

    part: int
    source: str
    doc_id: np.ndarray  # uint64 (rows)
    fell: np.ndarray  # int32 (rows): place in the pipeline of the stage that dropped it, or KEPT
    characters: np.ndarray  # int64 (rows): of its text as the first filter met it; 0 where it met none
    tokens: np.ndarray  # int64 (rows): as packed; -1 where it was not tokenized
    signals: pa.Table  # the columns asked for


def sources(folder: RunFolder) -> dict[int, str]:
    """Return the source of each part."""
    return {item["part"]: item["source"] for item in storage.read_json(folder.inputs)["parts"]}


def rows(folder: RunFolder, columns: list[str]) -> Iterator[Rows]:
    """Yield all documents that have signals, part by part and row group by row group.

    Memory: a row group of signals, and 20 bytes for each document of a part. Raises RunError where a column
    is missing: an older version of the program made the run.
    """
    named = sources(folder)
    for name in storage.list_folder(folder.path("signals")):
        part = int(name.removesuffix(".parquet").rpartition("-")[2])
        dropped = _columns(folder.path("ledger", name), ["doc_id", "stage_index"])
        kept = _columns(folder.path("documents", name), ["doc_id", "n_tokens"])
        with tables.open_parquet(folder.path("signals", name)) as file:
            missing = [c for c in columns if c not in file.schema_arrow.names]
            if missing:
                raise RunError(
                    f"{folder.url}: signals/ lacks {', '.join(missing)}; another version of millrace made this run, "
                    "run it again"
                )
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=["doc_id", *columns], use_threads=False)
                ids = table["doc_id"].to_numpy()
                fell = _looked_up(ids, dropped["doc_id"], dropped.get("stage_index"), KEPT).astype(np.int32)
                tokens = _looked_up(ids, kept["doc_id"], kept.get("n_tokens"), -1)
                characters = pc.fill_null(table[CHARACTERS], 0).to_numpy()
                yield Rows(part, named.get(part, ""), ids, fell, characters, tokens, table)


def _columns(url: str, names: list[str]) -> dict[str, np.ndarray]:
    """Return columns of a part's file as arrays; of those that are not there, none."""
    with tables.open_parquet(url) as file:
        there = [name for name in names if name in file.schema_arrow.names]
        table = file.read(columns=there, use_threads=False)
    return {name: table[name].to_numpy() for name in there}


def _looked_up(ids: np.ndarray, keys: np.ndarray, values: np.ndarray | None, otherwise: int) -> np.ndarray:
    """Return, for each id, the value beside it in `keys`, which ascend; `otherwise` where it is not among them."""
    if values is None or not len(keys):
        return np.full(len(ids), otherwise, np.int64)
    place = np.minimum(np.searchsorted(keys, ids), len(keys) - 1)
    found: np.ndarray = np.where(keys[place] == ids, values[place].astype(np.int64), otherwise)
    return found


def token_ratio(folder: RunFolder) -> float | None:
    """Return tokens a character of the kept documents; None where none was tokenized."""
    characters = tokens = 0
    for batch in rows(folder, [CHARACTERS]):
        known = batch.tokens >= 0
        characters += int(batch.characters[known].sum())
        tokens += int(batch.tokens[known].sum())
    return tokens / max(characters, 1) if tokens else None


def in_tokens(batch: Rows, ratio: float) -> np.ndarray:
    """Return tokens, int64 (rows): as packed, and where that is not known estimated from the characters."""
    guessed = np.rint(batch.characters * ratio).astype(np.int64)
    whole: np.ndarray = np.where(batch.tokens >= 0, batch.tokens, guessed)
    return whole
