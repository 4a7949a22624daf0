"""Some items of a result, with what the model did, as results.json and the page show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHOWN, CUT = 20, 2000  # items a result shows, and characters of each text


def sample(place: str, prompt: str, answers: Sequence[Mapping[str, Any]] = (), **facts: Any) -> dict[str, Any]:
    """Return an item as it is shown: of its prompt the end, of each answer's text the beginning, `facts` as they are.

    answers: text, and what is known of each (loglikelihood, reward).
    """
    shown = [{**one, "text": str(one["text"])[:CUT]} for one in answers]
    return {"place": place, "prompt": prompt[-CUT:], **({"answers": shown} if answers else {}), **facts}
