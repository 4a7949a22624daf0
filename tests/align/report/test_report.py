"""The report of an alignment run."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from align.report import write_report
from align.report.samples import ROWS, SHOWN, STEPS
from align.run.samples import Sample, SampleTable
from millrace.errors import StorageError
from pipelines.cli import main
from pretrain.errors import TrainingError
from tests.align.report.made import HOSTILE, made_run
from tests.pretrain.report.test_report import Seen


def report(folder: Path) -> tuple[str, Seen]:
    page = Path(write_report(str(folder))).read_text()
    return page, Seen(page)


def tables(page: str) -> dict[int, str]:
    """Return the tables of samples by step."""
    parts = re.split(r'<div data-step="(\d+)"', page.partition('<div class="samples">')[2].partition("<h2")[0])
    return {int(step): table for step, table in zip(parts[1::2], parts[2::2])}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return made_run(tmp_path_factory.mktemp("made") / "tiny", 40)


def test_the_numbers_are_those_of_the_log(run):
    page, seen = report(run)
    assert dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)<", page)) == {
        "Method": "grpo", "Steps": "40", "Tokens learnt": "20,000", "Reward": "0.974", "Loss": "0.013",
        "KL to the reference": "0.4", "Trainer / generator": "1.001", "Tokens a second": "250",
        "Time of these steps": "80.0 s", "Peak memory": "1 GB",
    }  # fmt: skip
    for said in ("of 40, 1 skipped", "over the last tenth; 0.4792 over the first", "the run stops at 1.05",
    "grpo.group_size",
                 "rollouts.temperature", "2023-11-14 22:13:30", "goes on"):  # fmt: skip
        assert said in seen.text, said
    assert "kto.beta" not in seen.text


def test_every_metric_is_drawn_in_order_with_its_marks(run):
    page, seen = report(run)
    charts = [given["data-chart"] for tag, given in seen.tags if tag == "figure"]
    assert charts == ["reward", "reward-math", "loss", "kl", "length", "ratio_error", "odd_metric", "grad_norm", "lr",
                      "tokens_per_second", "seconds", "memory_bytes"]  # fmt: skip
    assert page.count('class="mark save"') == page.count('class="mark skipped"') == len(charts)
    carried = json.loads(re.search(r'id="curves-data">(.*?)</script>', page)[1])
    assert carried["reward"]["labels"] == ["reward", "reward, held out"]
    assert carried["reward"]["steps"][1] == [0, 10, 20, 30, 40]
    assert carried["reward-math"]["labels"] == ["math", "length"]
    assert carried["loss"]["steps"][0] == [n for n in range(1, 41) if n != 7]


def test_samples_stand_side_by_side_with_what_was_said_before_training(run):
    page, seen = report(run)
    found = tables(page)
    assert list(found) == [10, 20, 30, 40]
    assert [step for step, table in found.items() if not table.startswith(" hidden")] == [40]
    rows = re.findall(
        r'<tr><td>(.*?)</td><td class="before">(.*?)</td><td class="after">(.*?)</td><td class="n">(.*?)</td></tr>',
        found[40],
    )
    assert len(rows) == 2
    prompt, before, after, reward = next(row for row in rows if "p-0" in row[0])
    assert "What is 2 + 2?" in prompt
    assert "five, I think" in before
    assert "4 at 40" in after
    assert "12 tokens" in after
    assert "cut at the limit" not in after
    assert "<b>1</b>" in reward
    assert "math 1.5" in reward
    assert "cut at the limit" in next(row for row in rows if "p-1" in row[0])[2]
    assert re.findall(r'<option value="(\d+)"( selected)?>', page) == [
        ("10", ""),
        ("20", ""),
        ("30", ""),
        ("40", " selected"),
    ]
    assert "of 4 steps" in seen.text


def test_a_sample_may_bring_what_it_replaced(tmp_path):
    folder = made_run(tmp_path / "run", 5)
    SampleTable(str(folder)).add(5, [Sample("p-0", "What is 2 + 2?", "revised", 3, before="the draft")])
    table = tables(report(folder)[0])[5]
    assert "the draft" in table
    assert "five, I think" not in table
    assert "<b>–</b>" in table


def test_a_run_before_its_first_step_shows_what_the_model_says(tmp_path):
    page, _ = report(made_run(tmp_path / "run", 0))
    assert list(tables(page)) == [0]
    assert "five, I think" in tables(page)[0]


def test_the_page_stays_small_however_much_was_said(tmp_path):
    folder = made_run(tmp_path / "run", 3)
    table = SampleTable(str(folder))
    for step in range(1, 301):
        table.add(
            step, [Sample(f"q-{n}", "long " * 5000, "x" * 50_000, 9, 0.5) for n in range(3 if step < 300 else 40)]
        )
    page, seen = report(folder)
    found = tables(page)
    assert len(found) == STEPS
    assert [*found][:1] + [*found][-1:] == [1, 300]
    gaps = [b - a for a, b in zip([*found], [*found][1:])]
    assert max(gaps) - min(gaps) <= 1
    assert found[300].count("<tr><td>") == ROWS
    assert "24 more completions in samples.jsonl" in found[300]
    assert "of 300 steps; 40 of them are shown, all are in samples.jsonl" in seen.text
    assert len(page) < STEPS * 3 * 2 * (SHOWN + 500) + 200_000


def test_nothing_is_fetched_and_nothing_hostile_becomes_markup(run):
    page, seen = report(run)
    links = [v for _, given in seen.tags for name, v in given.items() if name in ("src", "href", "action")]
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "<script>alert" not in page
    assert seen.text.count(HOSTILE) > 8
    assert [tag for tag, _ in seen.tags].count("script") == 2


def test_the_same_files_give_the_same_bytes(run):
    assert report(run)[0] == report(run)[0]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_run_that_has_hardly_begun_has_a_report(tmp_path, steps):
    _, seen = report(made_run(tmp_path / "new", steps))
    assert sum(tag == "figure" for tag, _ in seen.tags) == (12 if steps else 1)


def test_a_run_that_says_nothing_but_its_kind_has_a_report(tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "align"}')
    assert "No step was logged." in report(tmp_path)[1].text


def test_the_command_tells_the_kinds_of_runs(run, capsys):
    (run / "report.html").unlink(missing_ok=True)
    assert main(["report", str(run)]) == 0
    assert capsys.readouterr().out.strip() == str(run / "report.html")
    assert "Report of a Millrace alignment run" in (run / "report.html").read_text()


def test_other_folders_and_damaged_logs_are_refused_by_name(tmp_path):
    with pytest.raises(TrainingError, match=r"holds no alignment run: there is no run\.json of kind align"):
        write_report(str(tmp_path))
    (tmp_path / "run.json").write_text('{"kind": "pretrain"}')
    with pytest.raises(TrainingError, match="holds no alignment run"):
        write_report(str(tmp_path))
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(StorageError, match="is not a JSON file"):
        write_report(str(tmp_path))
    (tmp_path / "run.json").write_text('{"kind": "align"}')
    for name, content in (("log.jsonl", '{"step": 1, "tokens": 1}\nnonsense\n'), ("samples.jsonl", '{"text": "x"}\n')):
        (tmp_path / name).write_text(content)
        with pytest.raises(TrainingError, match=rf"{name} is damaged: line {content.count(chr(10))} names no step"):
            write_report(str(tmp_path))
        (tmp_path / name).unlink()


def test_torn_last_lines_are_passed_over_and_the_last_line_of_a_step_holds(tmp_path):
    folder = made_run(tmp_path / "run", 3)
    with (folder / "log.jsonl").open("a") as stream:
        stream.write(
            '{"step": 3, "tokens": 7, "reward": 0.125, "seconds": 1, "memory_bytes": 1, "tokens_per_second": 1}\n{"st'
        )
    page, _ = report(folder)
    assert "<dt>Tokens learnt</dt><dd>7<" in page
    assert "<dt>Reward</dt><dd>0.125<" in page


def test_a_hundred_thousand_steps_are_reported_in_seconds_on_a_small_page(tmp_path):
    folder = made_run(tmp_path / "long", 1)
    step = json.loads((folder / "log.jsonl").read_text().splitlines()[1])
    lines = "".join(f"{json.dumps(step | {'step': n, 'reward': n % 97 / 97})}\n" for n in range(1, 30_001))
    (folder / "log.jsonl").write_text(lines)
    began = time.process_time()
    page = Path(write_report(str(folder))).read_bytes()
    assert time.process_time() - began < 10  # seconds of CPU; measured: 1
    assert len(page) < 1_500_000  # bytes
