"""The process that extracts: pages in on stdin, answers out on stdout, one for one and in order.

Started by `curator.extract.sandbox`. A request is a length (4 bytes) and a page in UTF-8; an answer
a status (1 byte), a length and a text in UTF-8. The first request holds the settings. It ends when
its stdin closes, so none outlives its parent. It dies of SIGPROF when a page takes too much CPU
time: the kernel's timer also stops compiled code, to the hundredth of a second.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

REQUEST = struct.Struct("<I")
ANSWER = struct.Struct("<BI")
OK, NO_TEXT, ERROR, OUT_OF_MEMORY, READY = range(5)
LARGE_BYTES = 1 << 18  # of a page that may need much memory
TREE_RATIO = 8  # bytes that a parser may ask for at once, for each byte of HTML; ours
RESET_PAGES = 2000  # trafilatura's caches are bounded, but hold pieces of pages

Engine = Callable[[str], str | None]


def main() -> None:
    """Answer requests until stdin closes."""
    requests = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever prints, does not print into the protocol
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    settings = json.loads(_receive(requests) or "{}")
    try:
        engine = _engine(settings)
    except Exception as error:  # a library is missing: the parent raises
        _send(answers, ERROR, f"{type(error).__name__}: {error}")
        return
    gc.collect()
    gc.freeze()
    limit = _limit_memory(settings["max_memory_mb"])
    _send(answers, READY, "")
    _serve(requests, answers, lambda page: _answer(engine, page, limit), settings)


def _serve(
    requests: BinaryIO,
    answers: BinaryIO,
    answer: Callable[[bytes], tuple[int, str]],
    settings: dict[str, Any],
) -> None:
    served = 0
    while (page := _receive(requests)) is not None:
        signal.setitimer(signal.ITIMER_PROF, settings["max_seconds"])
        status, text = answer(page)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _send(answers, status, text)
        served += 1
        if served % RESET_PAGES == 0 and settings["engine"] == "trafilatura":
            from trafilatura.meta import reset_caches

            reset_caches()


def _engine(settings: dict[str, Any]) -> Engine:
    engine = {"trafilatura": _trafilatura, "resiliparse": _resiliparse}[settings["engine"]](settings)
    engine("<html><body><p>A page, so that what is imported late is imported now.</p></body></html>")
    return engine


def _receive(stream: BinaryIO) -> bytes | None:
    head = stream.read(REQUEST.size)
    try:
        return stream.read(REQUEST.unpack(head)[0]) if len(head) == REQUEST.size else None
    except MemoryError:
        os.abort()  # the page is half read: no answer can follow


def _send(stream: BinaryIO, status: int, text: str) -> None:
    data = text.encode("utf-8", "replace")
    message = memoryview(ANSWER.pack(status, len(data)) + data)
    while message:
        message = message[stream.write(message) :]


def _answer(engine: Engine, page: bytes, limit: int) -> tuple[int, str]:
    try:
        text = (engine(page.decode("utf-8", "replace")) or "").replace("\0", "")
        status, text = (OK, text) if text.strip() else (NO_TEXT, "")
    except MemoryError:
        return OUT_OF_MEMORY, ""
    except Exception as error:  # the engine's own failure: reported, as this document's
        status, text = ERROR, f"{type(error).__name__}: {error}"[:500]
    # Parsers that run out of memory return what they have; so whoever came near the limit met it.
    if (len(page) > LARGE_BYTES or status != OK) and _peak_bytes() > limit - TREE_RATIO * len(page):
        return OUT_OF_MEMORY, ""
    return status, text


def _limit_memory(max_memory_mb: int) -> int:
    """Let the address space grow by `max_memory_mb` beyond what the engine has mapped; return the limit."""
    limit = _peak_bytes() + (max_memory_mb << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return limit


def _peak_bytes() -> int:
    """Return the most address space this process has had."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmPeak:")[2].split()[0]) << 10


def _trafilatura(settings: dict[str, Any]) -> Engine:
    import trafilatura
    from lxml import etree, html  # type: ignore[import-untyped]
    from trafilatura.settings import Extractor
    from trafilatura.utils import HTML_PARSER

    # one class for all elements: choosing it in Python, tag by tag, is 4 % of the time
    HTML_PARSER.set_element_class_lookup(
        etree.ElementDefaultClassLookup(
            element=html.HtmlElement,
            comment=html.HtmlComment,
            pi=html.HtmlProcessingInstruction,
            entity=html.HtmlEntity,
        )
    )
    logging.disable()  # a page without text is an answer here, not an error
    options = Extractor(
        fast=settings["fast"],
        precision=settings["favor"] == "precision",
        recall=settings["favor"] == "recall",
        comments=settings["include_comments"],
        tables=settings["include_tables"],
    )
    return lambda page: trafilatura.extract(page, options=options)


def _resiliparse(settings: dict[str, Any]) -> Engine:
    from resiliparse.extract.html2text import extract_plain_text

    comments = settings["include_comments"]
    skipped = None if settings["include_tables"] else ["table"]
    return lambda page: extract_plain_text(page, main_content=True, comments=comments, skip_elements=skipped)


if __name__ == "__main__":
    main()
