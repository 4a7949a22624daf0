"""Main text of pages: the same as the engine's, and a reason for each page that gives none."""

import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import trafilatura

from curator.errors import SpecError
from curator.extract.html import FAILURES, ExtractHtml

PARAGRAPH = "It was the best of times, it was the worst of times, it was the age of wisdom. "
PAGE = f"<html><head><title>t</title></head><body><article><p>{PARAGRAPH * 8}</p></article></body></html>"
SLOW = "<html><body>" + "".join(f'<div><a href="{n}">l</a>' * 3 for n in range(20000))  # resiliparse: quadratic
LARGE = "<html><body><article>" + f"<p>{PARAGRAPH * 4}</p>" * 20000 + "</article></body></html>"


def _frame(*pages: str | None) -> pd.DataFrame:
    return pd.DataFrame({"html": pd.Series(pages, dtype="str"), "url": "http://x/"})


def _measure(stage: ExtractHtml, *pages: str | None) -> pd.DataFrame:
    signals = stage.measure(_frame(*pages))
    assert set(signals.columns) == {*stage.writes, *stage.signals}
    return signals


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
def test_pages_keep_their_order_and_index(engine: str) -> None:
    pages = [PAGE.replace("wisdom", f"wisdom {n}") for n in range(50)]
    frame = _frame(*pages)
    frame.index = pd.Index(range(100, 150))
    signals = ExtractHtml(engine).measure(frame)  # type: ignore[arg-type]
    assert signals.index.equals(frame.index)
    assert (signals["extract_status"] == "ok").all()
    assert all(f"wisdom {n}." in text for n, text in enumerate(signals["text"]))


def test_a_batch_without_rows() -> None:
    assert len(_measure(ExtractHtml())) == 0


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
def test_null_empty_and_textless_pages_have_no_text(engine: str) -> None:
    pages = [None, "", " \n", "<html></html>", "\0", "<html><body><script>x()</script></body></html>"]
    signals = _measure(ExtractHtml(engine), *pages)  # type: ignore[arg-type]
    assert (signals["extract_status"] == "no_text").all()
    assert signals["text"].isna().all()


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
def test_a_page_nested_10000_deep_does_not_stop_the_run(engine: str) -> None:
    deep = "<html><body>" + "<div>" * 10000 + PARAGRAPH + "</div>" * 10000
    signals = _measure(ExtractHtml(engine), deep, PAGE)  # type: ignore[arg-type]
    assert signals["extract_status"].tolist()[1] == "ok"


def test_a_page_over_the_cpu_limit_is_dropped_and_the_next_is_not() -> None:
    stage = ExtractHtml("resiliparse", max_seconds=0.3)
    signals = _measure(stage, PAGE, SLOW, PAGE, SLOW, PAGE)
    assert signals["extract_status"].tolist() == ["ok", "cpu_limit", "ok", "cpu_limit", "ok"]
    assert signals["extract_detail"][1] == "SIGPROF"
    assert stage.explain(signals, "cpu_limit")["threshold"] == 0.3


@pytest.mark.parametrize("engine", ["trafilatura", "resiliparse"])
@pytest.mark.parametrize("max_memory_mb", [4, 16, 32])
def test_a_page_over_the_memory_limit_is_dropped_and_the_next_is_not(engine: str, max_memory_mb: int) -> None:
    stage = ExtractHtml(engine, max_memory_mb=max_memory_mb)  # type: ignore[arg-type]
    signals = _measure(stage, PAGE, LARGE, PAGE)
    assert signals["extract_status"].tolist() == ["ok", "memory_limit", "ok"]


def test_a_page_over_the_size_limit_is_not_sent() -> None:
    stage = ExtractHtml(max_html_mb=0.001)
    signals = _measure(stage, "x" * 3000, "<html>")
    assert signals["extract_status"].tolist() == ["html_too_large", "no_text"]
    assert stage.explain(signals, "html_too_large")["threshold"] == 0.001


def test_each_status_but_ok_rejects() -> None:
    stage = ExtractHtml()
    signals = pd.DataFrame({"extract_status": ["ok", *FAILURES]})
    masks = stage.reject(signals)
    assert list(masks) == list(FAILURES)
    assert sum(mask.astype(int) for mask in masks.values()).tolist() == [0, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_seconds": 0},
        {"max_memory_mb": -1},
        {"engine": "resiliparse", "favor": "recall"},
        {"engine": "resiliparse", "fast": False},
    ],
)
def test_settings_that_cannot_be_kept_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SpecError):
        ExtractHtml(**wrong)  # type: ignore[arg-type]


def _gold(shared: Path) -> dict[str, tuple[str, str]]:
    folder = shared / "data/html_gold"
    gold = json.loads((folder / "ground-truth.json").read_text())
    return {
        name: (gzip.decompress((folder / f"html/{name}.html.gz").read_bytes()).decode(), item["articleBody"])
        for name, item in sorted(gold.items())
    }


def _shingles(text: str, size: int = 4) -> Counter[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[n : n + size]) for n in range(max(len(words) - size + 1, min(len(words), 1))))


def _f1(pairs: list[tuple[str, str]]) -> float:
    """F1 of mean precision and recall over 4-word shingles, as article-extraction-benchmark has it."""
    precision = recall = 0.0
    for text, gold in pairs:
        found, right = _shingles(text), _shingles(gold)
        hits = (found & right).total()
        precision += hits / max(found.total(), 1)
        recall += hits / max(right.total(), 1)
    precision, recall = precision / len(pairs), recall / len(pairs)
    return 2 * precision * recall / (precision + recall)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("settings", "floor"),
    [({}, 0.93), ({"fast": False}, 0.93), ({"favor": "precision"}, 0.93), ({"engine": "resiliparse"}, 0.88)],
)
def test_text_of_real_articles(shared: Path, settings: dict[str, object], floor: float) -> None:
    gold = _gold(shared)
    signals = _measure(ExtractHtml(**settings), *(html for html, _ in gold.values()))  # type: ignore[arg-type]
    pairs = [(text, right) for text, (_, right) in zip(signals["text"].fillna(""), gold.values())]
    assert _f1(pairs) >= floor


@pytest.mark.realdata
@pytest.mark.parametrize("favor", ["balanced", "precision", "recall"])
@pytest.mark.parametrize("include", [True, False])
def test_against_trafilatura(shared: Path, favor: str, include: bool) -> None:
    pages = [html for html, _ in _gold(shared).values()]
    stage = ExtractHtml(favor=favor, include_comments=include, include_tables=include)  # type: ignore[arg-type]
    expected = [
        trafilatura.extract(
            page,
            fast=True,
            favor_precision=favor == "precision",
            favor_recall=favor == "recall",
            include_comments=include,
            include_tables=include,
        )
        for page in pages
    ]
    assert _measure(stage, *pages)["text"].fillna("").tolist() == [text or "" for text in expected]
