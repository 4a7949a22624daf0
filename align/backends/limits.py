"""What a model has weights for, asked of every batch: beyond it a library reads out of bounds, or makes numbers up."""

from __future__ import annotations

from align.batch import TokenBatch
from align.errors import ModelError


def refuse_beyond(batch: TokenBatch, vocabulary: int, positions: int | None, name: str, virtual: int = 0) -> None:
    """Raise ModelError for tokens or lengths that a model has no weights for.

    positions: of a sequence, `virtual` ones of p-tuning included; None: any number.
    """
    least, most = int(batch.tokens.min()), int(batch.tokens.max())
    if least < 0 or most >= vocabulary:
        raise ModelError(
            f"a batch holds token {least if least < 0 else most}; {name} knows 0 to {vocabulary - 1}: its tokenizer "
            "and its weights do not belong together"
        )
    longest = int(batch.lengths.max())
    if positions is not None and longest + virtual > positions:
        more = f" and {virtual} virtual tokens" if virtual else ""
        raise ModelError(
            f"a sequence has {longest} tokens{more}; {name} has {positions} positions. Lower model.max_length"
        )
