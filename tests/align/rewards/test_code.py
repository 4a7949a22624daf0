"""Code that passes its tests, and HumanEval's own solutions."""

from __future__ import annotations

import gzip
import json

import pytest

from align.errors import AlignSettingsError, RewardError
from align.rewards import locks
from align.rewards.code import Code, extract
from tests.align.rewards.made import completion

needs_lock = pytest.mark.skipif(bool(locks.missing()), reason=f"no lock here: {locks.missing()}")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Here:\n```python\nx = 1\n```\nDone", "x = 1\n"), ("```python\na\n```\nno:\n```py\nb\n```", "b\n"),
        ("```\nx\n```", "x\n"), ("```Python3 \nx\n```", "x\n"), ("```json\n{}\n```\n", "```json\n{}\n```\n"),
        ("x = 2", "x = 2"), ("```python\nnot closed", "```python\nnot closed"), ("", ""),
    ],
)  # fmt: skip
def test_the_last_block_is_the_code(text, code):
    assert extract(text) == code


def test_no_text_takes_long_to_look_through():
    assert extract("```python\n" * 5000) is not None
    assert extract("```" * 50_000) is not None


@needs_lock
def test_the_three_kinds_of_tests():
    add = "```python\ndef add(a, b):\n    return a + b\n```"
    given = [
        completion(add, test=["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]),
        completion(add, test=["assert add(1, 2) == 3", "assert add(-1, 1) == 1"]),
        completion(add, test="def check(f):\n    assert f(2, 2) == 4\n", entry_point="add"),
        completion(add, test="def check(f):\n    assert f(2, 2) == 5\n", entry_point="add"),
        completion(
            "print(int(input()) ** 2)", test=[{"input": "3\n", "output": "9"}, {"input": "4", "output": "16 \n"}]
        ),
        completion("print(9)", test=[{"input": "3\n", "output": "9"}, {"input": "4", "output": "16 \n"}]),
        completion("import os; os._exit(0)", test=["assert False"]),
        completion("no code at all", test=["assert True"]),
    ]
    assert Code()(given) == [1, 0, 1, 0, 1, 0, 0, 0]


@needs_lock
@pytest.mark.parametrize("tests", [None, "", [], [1], [{"input": "1"}], {"a": 1}])
def test_tests_of_no_known_form_are_refused(tests):
    with pytest.raises(RewardError, match="they must be Python text, a list of statements, or"):
        Code()([completion("x", test=tests)])


@needs_lock
def test_a_record_without_tests_is_refused():
    with pytest.raises(RewardError, match="reward code needs field tests of the task; the record's other fields: test"):
        Code(tests="tests")([completion("x", test="y")])


@pytest.mark.parametrize("settings", [{"seconds": 0}, {"memory_mb": 1}, {"workers": 0}])
def test_settings_that_run_nothing_are_refused(settings):
    with pytest.raises(AlignSettingsError, match="code needs seconds above 0"):
        Code(**settings)


def test_other_platforms_are_refused(monkeypatch):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert locks.missing().startswith("it needs Linux on x86_64 or aarch64; this is Darwin on ")
    from align.rewards import code

    monkeypatch.setattr(code, "refusal", code.refusal.__wrapped__)
    with pytest.raises(AlignSettingsError, match="reward code is refused: untrusted code cannot be locked down here"):
        Code()


@needs_lock
@pytest.mark.slow  # 164 programs
@pytest.mark.realdata
def test_solutions_of_humaneval_pass_and_wrong_ones_fail(shared):
    with gzip.open(shared / "data/benchmarks/HumanEval.jsonl.gz") as stream:
        records = [json.loads(line) for line in stream]
    assert len(records) == 164
    reward = Code(before="prompt", seconds=20, workers=2)
    given = [completion(one["canonical_solution"], **one) for one in records]
    assert sum(reward(given)) == 164
    wrong = ["    return None\n", "    return 0\n", "    import sys; sys.exit(0)\n", "    syntax error\n"]
    assert sum(reward([completion(wrong[n % 4], **one) for n, one in enumerate(records[:24])])) == 0
    fenced = [completion(f"Sure!\n```python\n{r['prompt']}{r['canonical_solution']}```\n", **r) for r in records[::20]]
    assert sum(Code(seconds=20)(fenced)) == len(fenced)
