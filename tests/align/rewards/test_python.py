"""A user's own function, in a process that can be ended."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import pytest

from align.errors import AlignSettingsError, RewardError
from align.rewards.python import Python
from tests.align.rewards.made import completion

HERE = "tests.align.rewards.functions"


def test_a_function_of_a_module_and_of_a_file(tmp_path, monkeypatch):
    reward = Python(f"{HERE}:words")
    assert reward([completion("one two"), completion(""), completion("é" * 200_000)]) == [2, 0, 1]
    assert reward([]) == []
    own = tmp_path / "own.py"
    own.write_text("import beside\n\ndef rate(completion):\n    return beside.HIGH * completion.task['level']\n")
    (tmp_path / "beside.py").write_text("HIGH = 2.5\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert Python(f"{own}:rate")([completion(level=4)]) == [10]
    assert Python(f"{HERE}:numpy_number")([completion(tokens=3)]) == [303]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("raise", "failed at completion 1 of record r-7 (prompt 'a task'): KeyError: 'no such\\nsecond line'"),
        ("leave", "failed at completion 1 of record r-7 (prompt 'a task'): SystemExit: bye"),
        ("end", "failed at completion 1 of record r-7 (prompt 'a task'): its process ended with 7"),
        ("hang", "failed at completion 1 of record r-7 (prompt 'a task'): no value within 0.5 seconds"),
        ("nan", "is nan for completion 1 of record r-7 (prompt 'a task'); it must be a finite number"),
        ("inf", "is inf for completion 1 of record r-7"),
        ("none", "is None for completion 1 of record r-7"),
        ("text", "is 'high' for completion 1 of record r-7"),
        ("list", "failed at completion 1 of record r-7 (prompt 'a task'): TypeError: float() argument must be"),
    ],
)  # fmt: skip
def test_what_fails_is_said_with_the_completion(what, said):
    began = time.monotonic()
    with pytest.raises(RewardError) as raised:
        Python(f"{HERE}:told", seconds=0.5)([completion(), completion(do=what, id="r-7"), completion()])
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("function", "said"),
    [("words", "it must be module:function"), (f"{HERE}:not a name", "it must be module:function"),
     ("no.such.module:f", "cannot be used: ModuleNotFoundError: No module named 'no'"),
     (f"{HERE}:absent", "cannot be used: AttributeError"),
     (f"{HERE}:not_a_function", "TypeError: not_a_function is no function"),
     ("/no/such/file.py:f", "FileNotFoundError: there is no file /no/such/file.py")],
)  # fmt: skip
def test_a_function_that_is_not_there_is_refused_at_once(function, said):
    with pytest.raises(AlignSettingsError, match=said):
        Python(function)
    with pytest.raises(AlignSettingsError, match=r"python\.seconds is 0"):
        Python(f"{HERE}:words", seconds=0)


def test_its_process_ends_with_the_reward():
    reward = Python(f"{HERE}:words")
    process = Path(f"/proc/{reward.child._process.pid}")
    assert process.exists()
    del reward
    gc.collect()
    assert not process.exists()
