"""Two runs side by side, against a plain comparison of their rows."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator
from curator import Pipeline, diff
from curator.errors import RunError
from curator.run.folder import RunFolder
from pipelines.cli import main
from tests.corpus import documents, write_parts


def rows(folder, kind):
    return pa.concat_tables([pq.read_table(path) for path in sorted((folder / kind).iterdir())]).to_pylist()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("diff")
    records = documents(200, seed=3)
    for record in records[10:14]:
        record["id"] = "several"
    old, new = write_parts(place / "old", records[:180], 2), write_parts(place / "new", records[20:], 3)
    Pipeline([curator.ReadJsonl(old), curator.GopherQuality(min_words=120), curator.ExactDedup()]).run(
        str(place / "a"), workers=0
    )
    Pipeline([curator.ReadJsonl(new), curator.GopherQuality(min_words=20), curator.FuzzyDedup()]).run(
        str(place / "b"), workers=0
    )
    return place / "a", place / "b"


def outcomes(folder) -> dict[tuple[str, int], str]:
    """What became of each document, by id and which of that id it is."""
    said = [(row["doc_id"], row["id"], diff.KEPT) for row in rows(folder, "documents")]
    said += [(row["doc_id"], row["id"], f"{row['stage']}: {row['reason']}") for row in rows(folder, "ledger")]
    seen: Counter[str] = Counter()
    found = {}
    for _, id_, outcome in sorted(said):
        found[id_, seen[id_]] = outcome
        seen[id_] += 1
    return found


@pytest.mark.parametrize("at_a_time", [8_000_000, 23])
def test_outcomes_of_all_documents_are_counted_by_pairs(runs, monkeypatch, at_a_time):
    monkeypatch.setattr(diff, "PASS_ROWS", at_a_time)
    found = diff.diff(*(RunFolder(str(run)) for run in runs))
    a, b = (outcomes(run) for run in runs)
    wanted = Counter((a.get(key, diff.UNREAD), b.get(key, diff.UNREAD)) for key in {*a, *b})
    assert found.outcomes == wanted
    kept = [{key for key, outcome in side.items() if outcome == diff.KEPT} for side in (a, b)]
    assert found.count(True, True) == len(kept[0] & kept[1])
    assert found.count(True, False) == len(kept[0] - kept[1]) > 0
    assert found.count(False, True) == len(kept[1] - kept[0]) > 0
    texts = {record["id"]: record["text"] for record in documents(200, seed=3)}
    for side, mine, other in ((0, kept[0], b), (1, kept[1], a)):
        assert len(found.examples[side]) == 3
        for id_, outcome, excerpt in found.examples[side]:
            assert (id_, 0) in mine or id_ == "several"
            assert outcome in (other.get((id_, 0), diff.UNREAD), *(["kept"] if id_ == "several" else []))
            assert id_ == "several" or " ".join(texts[id_].split()).startswith(excerpt)


def test_settings_that_differ_are_named(runs):
    found = diff.diff(*(RunFolder(str(run)) for run in runs))
    said = {what: (here, there) for what, here, there in found.settings}
    assert said["GopherQuality.min_words"] == (120, 20)
    assert said["ExactDedup"] == ("there", "absent")
    assert said["FuzzyDedup"] == ("absent", "there")
    assert set(said) == {"ReadJsonl.path", "GopherQuality.min_words", "ExactDedup", "FuzzyDedup"}


def test_a_run_beside_itself_differs_in_nothing(runs, capsys):
    assert main(["diff", str(runs[0]), str(runs[0])]) == 0
    out = capsys.readouterr().out
    assert "no setting differs" in out
    table = out.partition("outcome")[2].splitlines()[1:]
    assert table
    assert all(line.split()[-1] == "0" and line.split()[-2] == line.split()[-3] for line in table)
    assert "alone, and what became" not in out


def test_command_shows_counts_reasons_and_examples(runs, capsys):
    assert main(["diff", str(runs[0]), str(runs[1])]) == 0
    out = capsys.readouterr().out
    found = diff.diff(*(RunFolder(str(run)) for run in runs))
    assert f"kept by A alone   {found.count(True, False):>12,}" in out
    assert "GopherQuality.min_words: 120 | 20" in out
    assert "kept by B alone, and what became of them in A:" in out
    assert "GopherQuality: few_words" in out


def test_a_folder_without_a_run_is_refused(runs, tmp_path, capsys):
    with pytest.raises(RunError, match=r"no run\.json"):
        diff.diff(RunFolder(str(runs[0])), RunFolder(str(tmp_path)))
    assert main(["diff", str(runs[0]), str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
