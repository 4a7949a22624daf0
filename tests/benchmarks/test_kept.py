"""What is kept between runs: whole or absent, and never the answer to another question."""

from __future__ import annotations

import pytest

from benchmarks import kept


def test_what_is_there_is_not_made_again(tmp_path):
    asked = []

    def make(path):
        asked.append(path)
        path.mkdir()
        (path / "file").write_text("made")

    for _ in range(2):
        assert (kept.once(tmp_path / "folder", make) / "file").read_text() == "made"
    assert len(asked) == 1


@pytest.mark.parametrize("folder", [False, True])
def test_what_was_not_finished_is_made_again(tmp_path, folder):
    def stopped(path):
        if folder:
            path.mkdir()
        else:
            path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.once(tmp_path / "thing", stopped)
    assert not (tmp_path / "thing").exists()
    assert kept.once(tmp_path / "thing", lambda path: path.write_text("whole")).read_text() == "whole"


def test_an_answer_is_that_of_the_question_asked(tmp_path):
    def ask(version):
        return kept.answer(tmp_path, "peer", ["settings", version], lambda: {"version": version})

    assert ask(1) == {"version": 1}
    assert ask(2) == {"version": 2}
    assert kept.answer(tmp_path, "peer", ["settings", 1], pytest.fail) == {"version": 1}
