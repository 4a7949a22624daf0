"""Records out of the documents of a curated run, with what curation changed in their texts.

The run's reader is `ReadConversations`: column `text` holds the record's texts with a line between them that holds
only a mark, and column `record` is the record as JSON, with the mark and a number in the place of each text.
"""

from __future__ import annotations

import json
from typing import Any

from align.data.record import Raw, Unfit

MARK = "\u241e"


def restored(row: Raw) -> Raw:
    """Return the record that a row of a curated run's documents holds; another row as it is.

    A record without an id gets that of its document, by which `millrace why` finds it. Raises Unfit where curation
    cut a mark, so that texts cannot be told apart.
    """
    if not isinstance(row.get("record"), str) or not isinstance(row.get("text"), str):
        return row
    texts = row["text"].split(f"\n{MARK}\n")
    try:
        skeleton = json.loads(row["record"])
    except ValueError as error:
        raise Unfit("broken JSON", f"column record: {error}") from None
    places = row["record"].count(MARK)
    if not isinstance(skeleton, dict) or places != len(texts):
        raise Unfit("turns that curation cut", f"{places} texts are expected in column text, which holds {len(texts)}")
    record: dict[str, Any] = _filled(skeleton, texts)
    return {**({"id": row["id"]} if "id" in row else {}), **record}


def _filled(value: Any, texts: list[str]) -> Any:
    if isinstance(value, str) and value.startswith(MARK):
        return texts[int(value.removeprefix(MARK))]
    if isinstance(value, list):
        return [_filled(one, texts) for one in value]
    return {name: _filled(one, texts) for name, one in value.items()} if isinstance(value, dict) else value
