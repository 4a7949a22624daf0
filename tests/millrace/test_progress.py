"""Progress suits where it is shown."""

from __future__ import annotations

import io
import sys

import pytest

from millrace import progress
from millrace.progress import Progress


def test_plain_lines_where_there_is_no_terminal(capsys):
    with Progress().steps("pass 1", 3) as step:
        for _ in range(3):
            step()
    Progress().say("a line")
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("pass 1 ")
    assert "3/3 parts" in first
    assert second == "a line"


def test_a_long_step_speaks_now_and_then(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    with Progress().steps("pass 1", 3) as step:
        for _ in range(3):
            step()
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["1/3", "2/3", "3/3"]


@pytest.mark.parametrize(("quiet", "total"), [(True, 3), (False, 0)])
def test_nothing_is_said_where_it_is_quiet_or_nothing_is_to_do(capsys, quiet, total):
    with Progress(quiet).steps("pass 1", total) as step:
        step()
    Progress(True).say("a line")
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Progress().steps("pass 1", 2) as step:
        step()
        step()
    assert "2/2" in sys.stderr.getvalue()


def test_an_error_passes_through(monkeypatch):
    for stderr in (Terminal(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stderr)
        with pytest.raises(KeyError), Progress().steps("pass 1", 2):
            raise KeyError
