"""URLs to filter: those that real pages link to, and many made of their parts, some of them on block lists."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks import inputs

LINK = re.compile(
    rb"""(?:href|src)=["']?(https?://[!#-&(-;=?-~]{4,500})|^WARC-Target-URI: (https?://\S+)""", re.MULTILINE
)
REAL_HOSTS = 0.4  # of the URLs that are made and not listed


def linked(warc: Path) -> list[str]:
    """Return the different absolute http(s) URLs in a .warc.gz, those of its records among them, in order."""
    found: set[str] = set()
    for record in inputs.members(warc.read_bytes()):
        found.update((link or target).decode() for link, target in LINK.findall(record))
    return sorted(found)


def made(real: Sequence[str], count: int, listed: Sequence[tuple[float, Sequence[str]]], seed: int) -> list[str]:
    """Return `count` URLs, shuffled: the real ones, and others from their hosts and paths.

    A made-up host is two words of real hosts before the end of a third. listed: shares that are one of some hosts or
    URLs without scheme, as it is or below `www.`.
    """
    rng = random.Random(seed)
    parts = [re.fullmatch(r"(https?)://([^/?#]*)(.*)", url, re.DOTALL) for url in real]
    schemes, hosts, paths = zip(*(part.groups() for part in parts if part), strict=True)
    named = [host for host in hosts if re.fullmatch(r"[A-Za-z0-9.-]+\.[A-Za-z]{2,6}", host)]
    words = sorted({word.lower() for host in named for word in re.split(r"[.-]", host) if len(word) > 2})
    ends = [host.rpartition(".")[2].lower() for host in named]
    shares = [share for share, _ in listed]
    found = list(real[:count])
    while len(found) < count:
        (rules,) = rng.choices([*(rules for _, rules in listed), ()], [*shares, 1 - sum(shares)])
        if rules:
            host = rng.choice(("", "www.")) + rng.choice(rules)
        elif rng.random() < REAL_HOSTS:
            host = rng.choice(hosts)
        else:
            below = rng.choice(("", "www.", "www.", f"{rng.choice(words)}."))
            host = f"{below}{rng.choice(words)}{rng.choice(('', '-'))}{rng.choice(words)}.{rng.choice(ends)}"
        found.append(f"{rng.choice(schemes)}://{host}{'' if '/' in host else rng.choice(paths)}")
    rng.shuffle(found)
    return found
