"""What rails cost: CPU seconds of one check, on texts of the bench corpus, one thread.

python -m benchmarks.rails_cost
"""

from __future__ import annotations

import time
from typing import Any

import pyarrow.parquet as pq

from benchmarks.report import Setting, setting, spread, table, write_result
from curator.identify.model import lid_model
from pipelines.serving.rails import makers
from serve.rails.classifier import Classifier, ClassifierSettings
from serve.rails.pii import Pii, PiiSettings
from serve.rails.rail import Rail
from serve.rails.regex import Regex
from serve.rails.words import Words

TEXTS, CHARACTERS = 100, 2000
ENTRIES = 100_000
PATTERN = r"(?i)\bbegin (rsa|openssh) private key\b"
WORST = r"[a-z ]*x[a-z ]{200}y"  # hundreds of states at once, on any prose


def main() -> None:
    with setting("What rails cost.", with_peers=False) as given:
        texts = _texts(given)
        size = sum(map(len, texts))
        rows = []
        for name, rail in _rails(given).items():
            rail.check(texts[0], "input", ())  # opens what is opened once
            took = [_seconds(rail, texts) for _ in range(1 if given.quick else given.rounds)]
            milliseconds = spread((1e3 * one / len(texts) for one in took), 3)
            rows.append([name, milliseconds, spread((size / one / 1e6 for one in took), 2)])
        body = f"{len(texts)} texts of the bench corpus, {size / len(texts):,.0f} characters in the mean; "
        body += "a check is a text in and a verdict out, in this process.\n\n"
        body += table(["rail", "CPU ms a text", "million characters a CPU s"], rows)
        write_result("rails_cost", "What rails cost", given, ["pyarrow", "fasttext", "numba"], body)


def _texts(given: Setting) -> list[str]:
    group = pq.ParquetFile(given.input("corpus.parquet")).read_row_group(0, columns=["text"])
    return [text[:CHARACTERS] for text in group["text"][:TEXTS].to_pylist()]


def _rails(given: Setting) -> dict[str, Rail]:
    entries = given.work / "words.txt"
    entries.write_text("".join(f"entry{n} of{n % 100}\n" for n in range(ENTRIES)))
    made = makers()
    pii, language = PiiSettings(), ClassifierSettings(model=lid_model(), label="en", max_score=1.0)
    rails: dict[str, Any] = {
        "words, 1 entry": Words(words=("entry1 of1",)),
        f"words, {ENTRIES:,} entries": Words(files=(str(entries),)),
        "regex, ordinary": Regex((PATTERN,)),
        f"regex, `{WORST}`": Regex((WORST,)),
        "pii": Pii(pii, made.redactor(pii)),
        "classifier, fastText lid.176": Classifier(language, made.scorer(language)),
    }
    for rail in rails.values():
        rail.prepare()
    return rails


def _seconds(rail: Rail, texts: list[str]) -> float:
    began = time.process_time()
    for text in texts:
        rail.check(text, "input", ())
    return time.process_time() - began


if __name__ == "__main__":
    main()
