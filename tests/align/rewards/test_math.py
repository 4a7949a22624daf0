"""The answer of a solution: where it is found, and GSM8K's own answers."""

from __future__ import annotations

import json
import time

import pytest

from align.errors import RewardError
from align.rewards.math import Math, extract
from tests.align.rewards.made import completion


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("so 1 + 1\n#### 2", "2"), ("#### 1\nno: #### 3", "3"), ("#### 1,234 \nand more 5", "1,234"),
        (r"thus \boxed{\frac{1}{2}} of 3", r"\frac{1}{2}"), (r"\boxed{1} then \boxed{{2}_{3}}", "{2}_{3}"),
        (r"\boxed{7} and \boxed{not closed", "7"), (r"\boxed 5", "5"), (r"\fbox{9}", "9"), (r"#### \boxed{7}", "7"),
        (r"#### 7 and \boxed{8}", "8"), (r"\boxed{8} #### 7", "7"),
        ("The answer is 3.5.", "3.5"), ("The answer is $\\frac{1}{2}$.", "\\frac{1}{2}"), ("**Answer:** 42", "42"),
        ("The answer is 1. No: the answer is 2.", "2"), ("The answer is that she has 18 apples, not 17 pears", "17"),
        ("the answer is \\(x^2\\).", "x^2"), ("Answer: (A)", "(A)"), ("final answer is: x=3.", "x=3"),
        ("We get 12 and then 13 apples", "13"), ("It costs $1,250.50 in all", "$1,250.50"), ("x^2+1", "x^2+1"),
        ("a share of -3/4 is left", "-3/4"), ("no idea", None), ("", None),
    ],
)  # fmt: skip
def test_the_last_answer_is_found(text, found):
    assert extract(text) == found


def test_only_marked_answers_count_where_marks_are_asked_for():
    assert extract("13", marked=True) is None
    assert extract("The answer is 13", marked=True) == "13"


def test_right_and_wrong_have_their_rewards():
    reward = Math(right=2.0, wrong=-1.0)
    given = [completion(text, answer="So 70 + 2 = 72\n#### 72") for text in ("It is 72.", r"\boxed{73}", "who knows")]
    assert reward(given) == [2.0, -1.0, -1.0]
    several = [completion("3/4", answer=["0.5", r"so \boxed{\frac{3}{4}}"]), completion("5", answer=5)]
    assert reward(several) == [2.0, 2.0]


def test_a_record_without_an_answer_is_refused_naming_what_it_has():
    with pytest.raises(RewardError, match="needs field answer of the task; the record's other fields: id, solution"):
        Math()([completion("1", solution="1", id="a")])


@pytest.mark.parametrize("text", ["\\boxed{" * 3000, "(" * 20_000, "the answer is " * 2000, "1," * 20_000,
    "####" * 9000,
                                  "$" * 20_000, "{" * 20_000 + "\\boxed{", "answer: \\(" * 2000])  # fmt: skip
def test_no_completion_takes_long(text):
    began = time.process_time()
    Math()([completion(text, answer="1")])
    assert time.process_time() - began < 0.5  # seconds; measured: below 0.05


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("file", "count"), [("math/gsm8k_train_3000.jsonl", 3000), ("benchmarks/gsm8k_test_200.jsonl", 200)]
)
def test_gsm8k_answers_are_found_however_they_are_said(shared, file, count):
    records = [json.loads(line) for line in (shared / "data" / file).read_text().splitlines()]
    assert len(records) == count
    golds = [record["answer"].rpartition("####")[2].strip() for record in records]
    numbers = [int(gold.replace(",", "")) for gold in golds]

    def earned(texts: list[str]) -> int:
        given = [completion(text, record["question"], **record) for text, record in zip(texts, records)]
        return int(sum(Math()(given)))

    assert earned([record["answer"] for record in records]) == count
    assert earned([f"So the answer is ${gold}." for gold in golds]) == count
    assert earned([rf"Therefore $\boxed{{{number:,}}}$" for number in numbers]) == count
    assert earned([f"In the end {number:,}.00 dollars are left." for number in numbers]) == count
    assert earned([rf"\boxed{{\frac{{{2 * number}}}{{2}}\text{{ apples}}}}" for number in numbers]) == count
    assert earned([f"The answer is {number + 1}." for number in numbers]) == 0
    assert earned([rf"\boxed{{{number}.5}}" for number in numbers]) == 0
    assert earned([rf"\boxed{{{-number or 1}}}" for number in numbers]) == 0
