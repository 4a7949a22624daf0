"""A crawl of a small made site, put where `millrace demo` finds its own."""

from __future__ import annotations

import os
import random
from pathlib import Path

from curator.identify.model import cache_folder
from pipelines.crawl import crawl
from pipelines.demo_corpus import RELEASES
from tests.corpus import prose

PAGES, SECTIONS = 24, 3
SETTINGS = (
    "Tokenize.vocab_size=512", "Pack.seq_length=256", "GopherQuality.min_stop_words=1",
    "GopherQuality.max_words=200000", "IdentifyLanguage.min_score=0.3",
    "pretrain.model.layers=1", "pretrain.model.hidden_size=32", "pretrain.model.heads=2", "pretrain.model.kv_heads=1",
    "pretrain.model.ffn_size=64", "pretrain.data.seq_length=256", "pretrain.data.validation_share=0.3",
    "pretrain.data.validation_rows=8", "pretrain.training.steps=6", "pretrain.optimizer.warmup_steps=1",
    "pretrain.checkpoint.every_steps=2", "pretrain.watch.log_every=1", "pretrain.watch.validate_every=0",
    *(f"{name}.optimizer.warmup_steps=1" for name in ("sft", "dpo", "grpo")),
    *(f"{name}.model.max_length=256" for name in ("sft", "dpo")),
    "sft.training.steps=4", "dpo.training.steps=2", "grpo.training.steps=2", "grpo.training.global_batch=2",
    "grpo.grpo.group_size=2", "grpo.rollouts.max_tokens=8",
)  # fmt: skip


def made(folder: Path) -> dict[str, str]:
    """Crawl a site into a cache folder; return the environment in which `millrace demo` curates it."""
    (folder / "lid.176.ftz").symlink_to(cache_folder() / "lid.176.ftz")
    for number, release in enumerate(RELEASES):
        site = folder / release.name
        _write(site, number)
        with (folder / release.warc).open("wb") as stream:
            crawl(site, f"{release.name}.localhost", stream)
    return {"MILLRACE_CACHE": str(folder)}


def _write(site: Path, release: int) -> None:
    site.mkdir()
    links = "".join(f'<a href="page{n:02}.html">page {n}</a> ' for n in range(PAGES))
    for name, body in [
        ("index.html", f"<p>{links}</p>"),
        *((f"page{n:02}.html", _page(n, release)) for n in range(PAGES)),
    ]:
        (site / name).write_text(f"<html><head><title>Site</title></head><body><main>{body}</main></body></html>")
        os.utime(site / name, (1_700_000_000, 1_700_000_000))


def _page(number: int, release: int) -> str:
    rng = random.Random(1000 * release + number)
    parts = [f"<h1>Page {number:02} of {release}¶</h1><p>{prose(rng, 6)}</p>"]
    for _ in range(SECTIONS):
        title = " ".join(prose(rng, 1).split()[:4]).strip(".!?")
        parts.append(f"<h2>{title}¶</h2><p>{prose(rng, 6)}</p><p>{prose(rng, 5)}</p>")
    return "".join(parts)
