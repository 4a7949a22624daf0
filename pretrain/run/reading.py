"""The log files of a run, read back as columns: a million steps take seconds."""

from __future__ import annotations

import dataclasses
import io
import json
import typing
from dataclasses import dataclass
from typing import Any

import numpy as np

from millrace import storage
from pretrain.errors import TrainingError
from pretrain.run.log import EVENTS, LOG, StepLine, ValidationLine


@dataclass(frozen=True)
class Log:
    """Columns by the names of StepLine and ValidationLine, ascending by step; what the file has as null is NaN."""

    steps: dict[str, np.ndarray]
    validations: dict[str, np.ndarray]  # with perplexity


def read_log(folder: str) -> Log:
    """Read log.jsonl. The last line of a step holds, a torn last line is passed over, an absent file is empty.

    Raises TrainingError where a whole line is not JSON of the known types.
    """
    import pyarrow as pa
    from pyarrow import json as arrow_json

    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    fields: dict[str, Any] = {"perplexity": pa.float64()}
    for line in (StepLine, ValidationLine):
        hints = typing.get_type_hints(line)
        fields |= {f.name: kinds.get(hints[f.name], pa.float64()) for f in dataclasses.fields(line)}
    url = storage.join(folder, LOG)
    content = whole_lines(url)
    table = pa.schema(list(fields.items())).empty_table()
    if content.strip():
        parsing = arrow_json.ParseOptions(explicit_schema=table.schema, unexpected_field_behavior="ignore")
        try:
            table = arrow_json.read_json(io.BytesIO(content), parse_options=parsing)
        except pa.ArrowInvalid as error:
            raise TrainingError(f"{url} is damaged: {error}") from None
    trained = table["rows"].is_valid()
    return Log(
        _columns(table.filter(trained), [f.name for f in dataclasses.fields(StepLine)]),
        _columns(
            table.filter(table["rows"].is_null()), [*(f.name for f in dataclasses.fields(ValidationLine)), "perplexity"]
        ),
    )


def read_events(folder: str) -> list[dict[str, Any]]:
    """Read events.jsonl in the order of writing; a torn last line is passed over, an absent file is empty."""
    url = storage.join(folder, EVENTS)
    found = []
    for number, line in enumerate(whole_lines(url).splitlines(), 1):
        try:
            event = json.loads(line)
            found.append(event | {"step": int(event["step"]), "kind": str(event["kind"]), "time": float(event["time"])})
        except (ValueError, KeyError, TypeError):
            raise TrainingError(f"{url} is damaged: line {number} is no event: {line[:80]!r}") from None
    return found


def whole_lines(url: str) -> bytes:
    """Return a log's bytes without a torn last line; none where the file is absent."""
    content = storage.read_bytes(url) if storage.exists(url) else b""
    return content[: content.rfind(b"\n") + 1]


def _columns(table: Any, names: list[str]) -> dict[str, np.ndarray]:
    """Return columns as arrays, one row a step: the last."""
    steps = table["step"].to_numpy()
    _, from_end = np.unique(steps[::-1], return_index=True)
    last = len(steps) - 1 - from_end
    return {name: table[name].to_numpy()[last] for name in names}
