"""Examples in a file: what a method made for itself, so that a run goes on with the same."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from align.batch import Example, TokenSequence
from millrace import storage


def write_examples(url: str, examples: Sequence[Example]) -> None:
    """Write examples whole, with all their fields; all have the same fields and as many sequences."""
    sequences = [one for example in examples for one in example.sequences]
    columns = {
        "ids": np.array([example.id for example in examples]),
        "each": np.array(len(examples[0].sequences)),
        "lengths": np.array([len(one.tokens) for one in sequences]),
        "tokens": np.concatenate([one.tokens for one in sequences]),
        "mask": np.concatenate([one.mask for one in sequences]),
    }
    for name in sequences[0].token_fields:
        columns[f"token/{name}"] = np.concatenate([one.token_fields[name] for one in sequences])
    for name in examples[0].fields:
        columns[f"field/{name}"] = np.stack([np.asarray(example.fields[name]) for example in examples])
    kept = io.BytesIO()
    np.savez(kept, **columns)  # type: ignore[arg-type]
    storage.write_bytes(url, kept.getvalue())


def read_examples(url: str) -> list[Example]:
    """Return what `write_examples` wrote."""
    with np.load(io.BytesIO(storage.read_bytes(url))) as kept:
        columns = {name: kept[name] for name in kept.files}
    lengths = columns["lengths"]
    ends, inner = np.cumsum(lengths), np.cumsum(lengths - 1)
    token = {name.removeprefix("token/"): values for name, values in columns.items() if name.startswith("token/")}
    sequences = [
        TokenSequence(
            columns["tokens"][end - length : end], columns["mask"][end - length : end],
            {name: values[stop - length + 1 : stop] for name, values in token.items()},
        )
        for length, end, stop in zip(lengths, ends, inner)
    ]  # fmt: skip
    fields = {name.removeprefix("field/"): values for name, values in columns.items() if name.startswith("field/")}
    each = int(columns["each"])
    return [
        Example(str(name), tuple(sequences[i * each : (i + 1) * each]), {key: row[i] for key, row in fields.items()})
        for i, name in enumerate(columns["ids"])
    ]
