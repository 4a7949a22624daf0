"""The denominators of losses: what a global batch counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from align.batch import Example


def counts(examples: Sequence[Example], max_tokens: int = 0) -> dict[str, float]:
    """Return what all objectives divide by, of a global batch or a part: parts and ranks add up.

    max_tokens: the longest completion allowed, for Dr. GRPO. Sequences count whether or not tokens of them are learnt.

    * tokens      that are learnt: SFT, PPO, critic, BNPO, DAPO, CISPO, distillation
    * sequences   GRPO, GSPO, REINFORCE, KTO
    * pairs       of sequences: reward models, DPO and its family
    * examples    SteerLM 2: prompts
    * attributes  that are rated: regression reward models
    * max_tokens  sequences times the limit: Dr. GRPO
    """
    sequences = [one for example in examples for one in example.sequences]
    rated = (example.fields["attributes"] for example in examples if "attributes" in example.fields)
    return {
        "tokens": float(sum(int(one.mask[1:].sum()) for one in sequences)),
        "sequences": float(len(sequences)),
        "pairs": float(sum(len(example.sequences) // 2 for example in examples)),
        "examples": float(len(examples)),
        "attributes": float(sum(int((~np.isnan(one)).sum()) for one in rated)),
        "max_tokens": float(len(sequences) * max_tokens),
    }
