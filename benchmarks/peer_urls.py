"""The peer's side of the benchmark of URL filters; runs in the peers' interpreter and imports nothing of ours.

FOLDER URLS: FOLDER holds domains, urls and words, URLS a URL a line. Says what it built, as JSON; then, for each line
it is given (domains or all), judges all URLs and says its CPU seconds and decisions.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WARM_UP = 1000


def pss_mb() -> float:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("Pss:"))


def built(make: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Return what a call makes, and its CPU seconds and memory."""
    began, before = time.process_time(), pss_mb()
    result = make()
    return result, {"build": time.process_time() - began, "mb": pss_mb() - before}


def main(folder: str, urls: str) -> None:
    """Build both filters, and judge when asked."""
    import tldextract

    tldextract.TLDExtract = functools.partial(tldextract.TLDExtract, suffix_list_urls=())  # the list it has; no network
    from datatrove.data import Document
    from datatrove.pipeline.filters import URLFilter
    from loguru import logger

    logger.remove()
    lists = {name: Path(folder, name).read_text().splitlines
             for name in ("domains", "urls", "banned_words", "banned_subwords", "soft_banned_words")}  # fmt: skip
    domains, cost = built(lambda: URLFilter(extra_domains=lists["domains"](), use_integrated_lists=False))
    both, more = built(
        lambda: URLFilter(
            extra_urls=lists["urls"](), banned_words=lists["banned_words"](), use_integrated_lists=False,
            banned_subwords=lists["banned_subwords"](), soft_banned_words=lists["soft_banned_words"](),
        )
    )  # fmt: skip
    both.block_listed_domains = domains.block_listed_domains  # read once: the second filter adds little
    documents = [Document("", "", metadata={"url": url}) for url in Path(urls).read_text().splitlines()]
    print(json.dumps({"domains": cost, "all": {name: cost[name] + more[name] for name in cost}}), flush=True)
    for line in sys.stdin:
        tool = {"domains": domains, "all": both}[line.strip()]
        for document in documents[:WARM_UP]:
            tool.filter(document)
        began = time.process_time()
        said = [tool.filter(document) for document in documents]
        cpu = time.process_time() - began
        print(json.dumps({"cpu": cpu, "said": ["" if one is True else one[1] for one in said]}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
