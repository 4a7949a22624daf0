"""What a fastText classifier reads of a text: one function for training and for prediction.

The first line end would end the text, the word `</s>` too, and a word that begins with `__label__` would be taken
for a label. So line ends and `</s>` become spaces, and `__label__` becomes `label`, with all underscores before it
(of `____label____` one more would be left). Nothing else changes; case is kept unless asked. fastText itself parts
words at ASCII white space and NUL, and at nothing else.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.fasttext_model import LABEL, Predict

VERSION = 2  # raise it when the same text comes out differently: models trained before are then refused
MARK = f"_+{LABEL}|{LABEL}"
RECORD = ".json"  # after a trained model's name: the file that says how it was made


def prepared(texts: pa.Array, lowercase: bool) -> pa.Array:
    """Return the texts as fastText shall read them, one line each; null stays null."""
    lines = pc.utf8_lower(texts) if lowercase else texts
    for given in ("\n", "</s>"):
        lines = pc.replace_substring(lines, given, " ")
    return pc.replace_substring_regex(lines, MARK, "label")


def probabilities(predict: Predict, lines: pa.Array, label: str) -> np.ndarray:
    """Return the probability of one label for each prepared text, float32; 0 for missing and blank ones."""
    found = np.zeros(len(lines), np.float32)
    for row, line in enumerate(lines.to_pylist()):
        if line and not line.isspace():
            every = predict(line + "\n", -1, 0.0, "strict")  # trained with the end of line as a word
            found[row] = next((score for score, name in every if name == LABEL + label), 0.0)
    return np.minimum(found, np.float32(1))  # fastText's table of logarithms gives up to 1.00001
