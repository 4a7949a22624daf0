"""Filtering by URL: 4.6 million domains, EasyList, and words; speed, memory, and decisions beside datatrove's."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa

from benchmarks import web_urls
from benchmarks.measure import ROOT, pss_mb
from benchmarks.report import Setting, ratio, setting, spread, table, write_result
from curator import UrlFilter, frames
from curator.filter.urls import _index
from curator.run.batches import first_reasons

URLS, PEER_URLS = 1_000_000, 30_000  # the peer judges the first of them
BATCH = 100_000  # URLs
LISTED = (0.03, 0.002, 0.01)  # of the URLs: hosts of the domain list, URLs of the list of URLs, hosts of EasyList
WORDS = {"hard_words": "banned_words", "soft_words": "soft_banned_words", "strict_words": "banned_subwords"}
SHOWN = 3  # URLs of a difference


def main() -> None:
    """Make the URLs, let both sides judge them, and write the result."""
    easylist = {"type": Path, "default": ROOT.parent / "shared" / "data" / "url" / "easylist.txt.gz"}
    with setting(__doc__ or "", easylist=easylist) as given:
        folder = given.made("lists", lambda out: unpack(given, out))
        stages = {
            "domains": UrlFilter(domains=str(folder / "domains")),
            "EasyList": UrlFilter(adblock=str(given.given.easylist)),
            "all": UrlFilter(
                domains=str(folder / "domains"), urls=str(folder / "urls"), adblock=(),
                **{ours: str(folder / theirs) for ours, theirs in WORDS.items()},
            ),
        }  # fmt: skip
        stages["EasyList"].index()  # compiles
        urls, real = collected(given, folder, stages["EasyList"])
        frame = frames.from_arrow(pa.table({"url": pa.array(urls, pa.large_string())}))
        costs = {name: built(stage) for name, stage in stages.items()}
        some = urls[: PEER_URLS // 10 if given.quick else PEER_URLS]
        (given.work / "some").write_text("\n".join(some))
        cpu: dict[str, list[float]] = {name: [] for name in ("match", *stages, "peer domains", "peer all")}
        said: dict[str, list[str]] = {}
        with peer(given, folder) as (ask, peer_costs):
            for _ in range(given.rounds):
                for name, stage in stages.items():
                    said[name], seconds = judged(stage, frame)
                    cpu[name].append(seconds / len(urls))
                    if name != "EasyList":
                        answer = ask(name)
                        said[f"peer {name}"] = answer["said"]
                        cpu[f"peer {name}"].append(answer["cpu"] / len(some))
        body = [
            f"{len(urls):,} URLs, {sum(map(len, urls)) / len(urls):.0f} bytes in the mean: {real:,} that the pages of "
            f"docs.warc.gz have or link to, the others made of their hosts, words of these, and paths (seeded), "
            f"{LISTED[0]:.0%} with a host of the domain list, {LISTED[1]:.1%} from the list of URLs, {LISTED[2]:.0%} "
            f"with a host of EasyList. datatrove judges the first {len(some):,}. Domains, URLs and words are those "
            "that datatrove ships (UT1's). One process and one core a side; ours: the stage's `measure` and `reject` "
            f"with evidence, {BATCH:,} URLs a batch; datatrove: `URLFilter.filter`.\n",
            speed(stages, costs, peer_costs, cpu, said), "", *differences(some, said),
        ]  # fmt: skip
        write_result("url_filter", "Filtering by URL", given, ["numba", "numpy", "pyarrow", "pandas"], "\n".join(body))


def unpack(given: Setting, out: Path) -> Path:
    """Write the lists that datatrove ships to a folder."""
    asked = [str(given.peers), "-c", "from datatrove.utils._import_utils import ASSETS_PATH as a; print(a)"]
    assets = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
    out.mkdir()
    (archive,) = assets.glob("url_filterblacklists*.tar.gz")
    with tarfile.open(archive) as lists:
        lists.extractall(out, filter="data")
    for name in WORDS.values():
        (out / name).write_bytes((assets / f"{name}.txt").read_bytes())
    return out


def collected(given: Setting, folder: Path, easylist: UrlFilter) -> tuple[list[str], int]:
    """Return the URLs, and how many of them are real."""
    index = easylist.index()
    hosts = index.named.whole()[index.adblock_from :].to_pylist()
    lists = [(folder / name).read_text().splitlines() for name in ("domains", "urls")]
    real = web_urls.linked(given.input("docs.warc.gz"))
    count = URLS // 10 if given.quick else URLS
    return web_urls.made(real, count, list(zip(LISTED, (*lists, hosts), strict=True)), seed=0), min(count, len(real))


def built(stage: UrlFilter) -> dict[str, float]:
    """Return the CPU seconds and the memory of reading a stage's lists."""
    _index.cache_clear()
    gc.collect()
    pa.default_memory_pool().release_unused()
    began, before = time.process_time(), pss_mb(os.getpid())
    index = stage.index()
    cost = {"build": time.process_time() - began, "rules": len(index.named.whole()) + len(index.patterned.whole())}
    gc.collect()
    pa.default_memory_pool().release_unused()
    words = sum(len(words.words) for words in index.kinds.values())
    return {**cost, "mb": pss_mb(os.getpid()) - before, "words": words}


def judged(stage: UrlFilter, frame: Any) -> tuple[list[str], float]:
    """Return the first reason to drop each URL, "" where it stays, and the CPU seconds of the judgement."""
    stage.measure(frame[:1000])  # reads the lists
    masks = []
    began = time.process_time()
    for start in range(0, len(frame), BATCH):
        masks.append(stage.reject(stage.measure(frame[start : start + BATCH])))
    seconds = time.process_time() - began
    said = np.full(len(frame), "", object)
    for start, mask in zip(range(0, len(frame), BATCH), masks, strict=True):
        for reason, here in first_reasons(mask).items():
            said[start : start + BATCH][here.to_numpy(dtype=bool)] = reason
    return said.tolist(), seconds


@contextmanager
def peer(given: Setting, folder: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Start the peer; yield (a call that lets it judge, what its filters cost to build)."""
    command = [str(given.peers), str(Path(__file__).with_name("peer_urls.py")), str(folder), str(given.work / "some")]
    with given.log("peer").open("w") as log:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        told, heard = process.stdin, process.stdout
        assert told
        assert heard

        def ask(name: str) -> Any:
            told.write(f"{name}\n")
            told.flush()
            return answer(heard, given.log("peer"))

        try:
            yield ask, answer(heard, given.log("peer"))
        finally:
            told.close()
            process.wait()


def answer(heard: IO[str], log: Path) -> Any:
    """Return what the peer says next. Exits with the end of its log where it has ended."""
    line = heard.readline()
    return json.loads(line) if line else sys.exit(f"datatrove ended:\n{log.read_text()[-2000:]}")


def speed(
    stages: dict[str, UrlFilter],
    costs: dict[str, dict[str, float]],
    peer_costs: dict[str, dict[str, float]],
    cpu: dict[str, list[float]],
    said: dict[str, list[str]],
) -> str:
    """Return the table of costs."""
    what = {"domains": "domains", "EasyList": "EasyList", "all": "domains, URLs, words"}
    rows = []
    for name in stages:
        cost, seconds, theirs = costs[name], cpu[name], cpu.get(f"peer {name}")
        rules = f"{cost['rules']:,}" + (f" and {cost['words']:,} words" if cost["words"] else "")
        rows.append([f"ours: {what[name]}", rules, f"{cost['build']:.1f}", f"{cost['mb']:.0f}",
                     f"{1e-6 / np.median(seconds):.2f}", spread((1e9 * s for s in seconds), 0),
                     f"{sum(map(bool, said[name])):,}", ""])  # fmt: skip
        if theirs:
            own = peer_costs[name]
            rows.append([f"datatrove: {what[name]}", "", f"{own['build']:.1f}", f"{own['mb']:.0f}",
                         f"{1e-6 / np.median(theirs):.3f}", spread((1e9 * s for s in theirs), 0),
                         f"{sum(map(bool, said[f'peer {name}'])):,}", ratio(theirs, seconds)])  # fmt: skip
    head = ["", "rules", "build CPU s", "MB", "M URLs/s", "CPU ns a URL", "dropped", "ratio"]
    return table(head, rows)


def differences(urls: list[str], said: dict[str, list[str]]) -> list[str]:
    """Return which URLs one side drops and the other keeps, by reason."""
    lines = ["## Differences\n"]
    for name, what in (("domains", "Domains"), ("all", "Domains, URLs and words")):
        pairs = list(zip(urls, said[name], said[f"peer {name}"]))
        found = Counter((ours, theirs) for _, ours, theirs in pairs if bool(ours) != bool(theirs))
        both = sum(bool(ours) and bool(theirs) for _, ours, theirs in pairs)
        lines.append(
            f"{what}: of {len(urls):,} URLs both drop {both:,}; they decide otherwise on {sum(found.values()):,}.\n"
        )
        for (ours, theirs), count in found.most_common():
            shown = [url for url, a, b in pairs if (a, b) == (ours, theirs)][:SHOWN]
            side = f"ours alone drops ({ours})" if ours else f"datatrove alone drops ({theirs})"
            lines.append(f"- {side}: {count:,}, such as {', '.join(f'`{url[:100]}`' for url in shown)}")
        lines.append("")
    return lines


if __name__ == "__main__":
    main()
