"""The report of a training run."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from millrace.errors import StorageError
from pipelines.cli import main
from pretrain.errors import TrainingError
from pretrain.report import write_report
from tests.pretrain.report.made import made_run


class Seen(HTMLParser):
    """Text and tags of a page; raises where tags are not nested."""

    VOID = {"meta", "link", "br", "input"}

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.open):
            self.text += data


def report(folder: Path) -> tuple[str, Seen]:
    page = Path(write_report(str(folder))).read_text()
    return page, Seen(page)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return made_run(tmp_path_factory.mktemp("made") / "tiny", 40)


def test_the_numbers_are_those_of_the_log(run):
    _, seen = report(run)
    tiles = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)<", (run / "report.html").read_text()))
    assert tiles == {
        "Steps": "40", "Tokens": "20,000", "Training loss": "3.15", "Validation loss": "3.65",
        "Tokens a second": "2,020", "MFU": "40.0 %", "Time of these steps": "10.0 s", "Blocked by saves": "2.0 %",
        "Waiting for data": "4.0 %", "Peak memory": "1 GB",
    }  # fmt: skip
    for said in ("of 40, 1 skipped", "measured matrix peak of a test", "unigram entropy 6.125",
                 "bigram cross entropy 4.375", "model.hidden_size", "4294967301", "bad batch", "not finite",
                 "2023-11-14 22:13:20"):  # fmt: skip
        assert said in seen.text, said


def test_nothing_is_fetched_and_nothing_hostile_becomes_markup(run):
    page, seen = report(run)
    links = [v for _, given in seen.tags for name, v in given.items() if name in ("src", "href", "action")]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "<script>alert" not in page
    assert "<script>alert('x')</script>" in seen.text
    assert [tag for tag, _ in seen.tags].count("script") == 2


def test_the_same_files_give_the_same_bytes(run):
    assert report(run)[0] == report(run)[0]


def test_every_chart_is_drawn_with_its_marks(run):
    page, seen = report(run)
    charts = [given["data-chart"] for tag, given in seen.tags if tag == "figure"]
    assert charts == ["loss", "grad_norm", "lr", "tokens_per_second", "mfu", "seconds", "memory"]
    assert page.count('class="mark save"') == page.count('class="mark restore"') == len(charts)
    assert page.count('class="mark skipped"') == len(charts)
    carried = json.loads(re.search(r'id="curves-data">(.*?)</script>', page)[1])
    assert carried["loss"]["labels"] == ["training loss", "validation loss"]
    assert carried["loss"]["steps"] == [[n for n in range(1, 41) if n != 7], [10, 20, 30, 40]]
    assert carried["loss"]["values"][0][-1] == 3.15


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_run_that_has_hardly_begun_has_a_report(tmp_path, steps):
    _, seen = report(made_run(tmp_path / "new", steps))
    assert ("No step was logged." in seen.text) == (steps == 0)
    assert sum(tag == "figure" for tag, _ in seen.tags) == (7 if steps else 0)


def test_a_run_that_says_nothing_but_its_kind_has_a_report(tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "pretrain"}')
    assert "No step was logged." in report(tmp_path)[1].text


def test_unknown_mfu_is_left_out(tmp_path):
    folder = made_run(tmp_path / "run", 3)
    log = folder / "log.jsonl"
    log.write_text(log.read_text().replace('"mfu": 0.4', '"mfu": null'))
    _, seen = report(folder)
    assert "MFU" not in seen.text


def test_the_command_tells_training_runs_from_others(run, tmp_path, capsys):
    (run / "report.html").unlink(missing_ok=True)
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert (run / "report.html").exists()
    assert main(["report", str(tmp_path)]) == 1
    assert "holds no run: there is no run.json" in capsys.readouterr().err


def test_other_folders_are_refused_by_name(tmp_path):
    with pytest.raises(TrainingError, match=r"holds no training run: there is no run\.json of kind pretrain"):
        write_report(str(tmp_path))
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(TrainingError, match="holds no training run"):
        write_report(str(tmp_path))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StorageError, match="is not a JSON file"):
        write_report(str(tmp_path))


@pytest.mark.slow
def test_a_million_steps_are_reported_in_seconds_on_a_small_page(tmp_path):
    folder = made_run(tmp_path / "long", 1)
    line = json.loads((folder / "log.jsonl").read_text())
    losses = 3 + np.random.default_rng(0).random(1_000_000)
    with (folder / "log.jsonl").open("w") as stream:
        for step, loss in enumerate(losses.tolist(), 1):
            stream.write(json.dumps(line | {"step": step, "loss": loss}) + "\n")
    with (folder / "events.jsonl").open("w") as stream:
        for step in range(0, 1_000_000, 100):
            stream.write(json.dumps({"time": 1.7e9 + step, "kind": "save", "step": step}) + "\n")
    began = time.process_time()
    page = Path(write_report(str(folder))).read_bytes()
    seconds = time.process_time() - began
    assert seconds < 30  # CPU; measured: 7
    assert len(page) < 2_000_000  # bytes; measured: 0.4 MB
