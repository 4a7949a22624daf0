"""A bigram model with back-off that is small enough to be written, and reckoned, by hand."""

from __future__ import annotations

from pathlib import Path

UNIGRAMS = {  # word -> (log10 probability, log10 back-off weight)
    "<unk>": (-2.0, 0.0), "<s>": (-99.0, -0.5), "</s>": (-1.0, 0.0),
    "the": (-0.75, -0.25), "river": (-1.25, -0.125), "a": (-1.5, 0.0), "0": (-1.75, 0.0),
}  # fmt: skip
BIGRAMS = {("<s>", "the"): -0.25, ("the", "river"): -0.5, ("river", "</s>"): -0.375}


def write_model(path: Path) -> str:
    """Write it as ARPA; return its path."""
    lines = ["\\data\\", f"ngram 1={len(UNIGRAMS)}", f"ngram 2={len(BIGRAMS)}", "", "\\1-grams:"]
    lines += [f"{probability}\t{word}\t{backoff}" for word, (probability, backoff) in UNIGRAMS.items()]
    lines += ["", "\\2-grams:", *(f"{probability}\t{one} {two}" for (one, two), probability in BIGRAMS.items())]
    path.write_text("\n".join([*lines, "", "\\end\\", ""]))
    return str(path)


def score(line: str) -> float:
    """Return the log10 probability of a line by the definition of a back-off model (Katz 1987)."""
    words = [word if word in UNIGRAMS else "<unk>" for word in line.split()]
    total = 0.0
    for pair in zip(["<s>", *words], [*words, "</s>"]):
        total += BIGRAMS[pair] if pair in BIGRAMS else UNIGRAMS[pair[0]][1] + UNIGRAMS[pair[1]][0]
    return total
