"""The peers' side of the benchmark of personal data; runs in the peers' interpreter and imports nothing of ours.

TOOL INPUT ANSWER: INPUT is a Parquet file, or JSON lines, of texts; ANSWER gets the spans (text, start, stop, kind),
in bytes, and the CPU seconds. TOOL is datatrove, datatrove_format (its own call, with no spans), presidio or scrubadub.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

Spans = Iterable[tuple[int, int, str]]  # characters
WARM_UP = 20
PRESIDIO = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "IP_ADDRESS": "ip",
    "CREDIT_CARD": "credit_card",
    "IBAN_CODE": "iban",
    "US_SSN": "us_ssn",
}
SCRUBADUB = {"email": "email", "phone": "phone", "credit_card": "credit_card", "social_security_number": "us_ssn"}
SCRUBADUB |= {"credential": "secret"}


def datatrove() -> Callable[[str], Spans]:
    """The patterns and the check of PIIFormatter."""
    from datatrove.pipeline.formatters.pii import PIIFormatter

    tool = PIIFormatter()

    def find(text: str) -> Spans:
        for kind, part in (("email", tool.emails_replacer), ("ip", tool.ip_replacer)):
            for match in part.regex.finditer(text):
                if not part.validator or part.validator(match[0]):
                    yield (*match.span(), kind)

    return find


def datatrove_format() -> Callable[[str], Spans]:
    from datatrove.pipeline.formatters.pii import PIIFormatter

    tool = PIIFormatter()
    return lambda text: tool.format(text) and ()


def presidio() -> Callable[[str], Spans]:
    """Presidio's recognisers by pattern and checksum, without a language model and so without words around."""
    import tldextract
    from presidio_analyzer import predefined_recognizers as ready

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())  # the list it has; no network
    names = ("Email", "Phone", "Ip", "CreditCard", "Iban", "UsSsn")
    tools = [getattr(ready, f"{name}Recognizer")() for name in names]

    def find(text: str) -> Spans:
        for tool in tools:
            for result in tool.analyze(text, tool.supported_entities, None):
                if result.score > 0:
                    yield result.start, result.end, PRESIDIO[result.entity_type]

    return find


def scrubadub() -> Callable[[str], Spans]:
    """The default detectors, in the default locale (en_US)."""
    import scrubadub as library

    tool = library.Scrubber()

    def find(text: str) -> Spans:
        for filth in tool.iter_filth(text):
            for part in getattr(filth, "filths", [filth]):
                if part.type in SCRUBADUB:
                    yield part.beg, part.end, SCRUBADUB[part.type]

    return find


def main(tool: str, source: str, answer: str) -> None:
    """Search all texts once and write what was found."""
    if tool.startswith("datatrove"):
        from loguru import logger

        logger.remove()
    if source.endswith(".parquet"):
        import pyarrow.parquet as pq

        texts = pq.read_table(source, columns=["text"])["text"].to_pylist()
    else:
        texts = [json.loads(line)["text"] for line in Path(source).read_text().split("\n") if line]
    find = {f.__name__: f for f in (datatrove, datatrove_format, presidio, scrubadub)}[tool]()
    for text in texts[:WARM_UP]:
        list(find(text))
    began = time.process_time()
    found = [list(find(text)) for text in texts]
    cpu = time.process_time() - began
    spans = [
        (row, len(text[:start].encode()), len(text[:stop].encode()), kind)
        for row, (text, each) in enumerate(zip(texts, found))
        for start, stop, kind in each
    ]
    Path(answer).write_text(json.dumps({"cpu": cpu, "spans": spans}))


if __name__ == "__main__":
    main(*sys.argv[1:])
