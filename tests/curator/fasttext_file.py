"""A fastText model small enough to be written by hand."""

from __future__ import annotations

import struct
from pathlib import Path

WORDS = {"aa": ["abba", "cab", "dada", "ebe"], "zz": ["vow", "xyz", "wyz", "zyx"]}
SUPERVISED, SKIPGRAM = 3, 2  # fastText's model_name


def write_model(path: Path, kind: int = SUPERVISED, known: dict[str, list[str]] = WORDS) -> str:
    """Write a model that tells two labels apart, each of its words by the vector of its label; return its path.

    The format is that of fastText's Model::save (version 12).
    """
    words = [(word, label) for label, each in known.items() for word in each]
    entries = [(word, 0) for word, _ in words] + [(f"__label__{label}", 1) for label in known]
    settings = [2, 5, 1, 1, 5, 1, 3, kind, 0, 0, 0, 100]  # dim .. lrUpdateRate; loss 3 is softmax, no subwords
    first = next(iter(known))
    vectors = [value for _, label in words for value in ((3.0, 0.0) if label == first else (0.0, 3.0))]
    content = struct.pack("<2i12id", 793712314, 12, *settings, 1e-4)
    content += struct.pack("<3i2q", len(entries), len(words), len(known), len(entries), -1)
    for name, label in entries:
        content += name.encode() + b"\0" + struct.pack("<qb", 1, label)
    content += struct.pack(f"<?2q{len(vectors)}f", False, len(words), 2, *vectors)
    content += struct.pack("<?2q4f", False, 2, 2, 1.0, 0.0, 0.0, 1.0)
    path.write_bytes(content)
    return str(path)
