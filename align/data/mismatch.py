"""KTO's estimate of the KL term: each prompt with an answer that belongs to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from align.batch import Example, TokenSequence


def mismatched(batch: Sequence[Example], max_length: int) -> list[Example]:
    """Give each labelled example of a global batch a second sequence: its prompt with the next example's answer.

    (Ethayarajh et al. 2024, section 4.1; the last takes the first's.) The first sequence's mask tells the answer. A
    prompt too long for the other's answer loses its oldest tokens, so that what is in a batch does not depend on its
    neighbours.
    """
    begins = [int(np.flatnonzero(one.sequences[0].mask)[0]) for one in batch]
    made = []
    for number, one in enumerate(batch):
        after = (number + 1) % len(batch)
        prompt = one.sequences[0].tokens[: begins[number]]
        other = batch[after].sequences[0]
        answer, learnt = other.tokens[begins[after] :], other.mask[begins[after] :]
        prompt = prompt[-max(max_length - len(answer), 1) :]
        tokens, mask = np.append(prompt, answer), np.append(np.zeros(len(prompt), bool), learnt)
        made.append(Example(one.id, (one.sequences[0], TokenSequence(tokens, mask)), one.fields))
    return made
