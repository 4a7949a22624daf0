"""Conversations out of files, and what is wrong with them."""

import pytest

from serve.errors import EvaluationError
from serve.evaluate.conversations import grouped, plain, read, written
from tests.serve.evaluate.judged import write

GOOD = {"prompt": "p", "chosen": "a", "rejected": "b"}


def test_formats_are_known_by_each_record(tmp_path):
    records = [
        {"prompt": "one", "kind": "x"}, {"instruction": "two", "output": "2"},
        {"messages": [{"role": "user", "content": "three"}]},
        {"prompt": "four", "chosen": "a", "rejected": "b", "kind": 5},
    ]  # fmt: skip
    talks, known = read("t", write(tmp_path / "a.jsonl", records), "auto", "kind")
    assert [talk.record.question for talk in talks] == ["one", "two", "three", "four"]
    assert [talk.group for talk in talks] == ["x", "", "", "5"]
    assert list(known) == ["a.jsonl"]
    assert len(read("t", str(tmp_path / "a.jsonl"), "auto", "", 2)[0]) == 2


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"prompt": "p", "chosen": "a"}, r"a.jsonl:2: missing side: rejected is absent or empty; .*: prompt, chosen"),
        (GOOD | {"rejected": ""}, "rejected is absent or empty"), (GOOD | {"rejected": "a "}, "equal sides"),
        ({"chosen": "a", "rejected": "b"}, "no prompt"), (GOOD | {"prompt": 5}, "a.jsonl:2: "),
        ([1], "a record is an object of fields"),
    ],
)  # fmt: skip
def test_a_record_that_is_no_pair_is_named_with_its_line(tmp_path, record, said):
    path = write(tmp_path / "a.jsonl", [GOOD, record])
    with pytest.raises(EvaluationError, match=said) as raised:
        read("t", path, "preference", "")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "is empty"), ("\n\n", "is empty"), ('{"prompt": "p"', r"a.jsonl:1: .*broken JSON"),
     ('{"x": 1}', "a.jsonl:1: no format of conversations is known by its fields: x")],
)  # fmt: skip
def test_a_file_without_conversations(tmp_path, content, said):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(EvaluationError, match=said):
        read("t", str(tmp_path / "a.jsonl"), "auto", "")


def test_turns_as_a_model_and_as_a_judge_read_them(tmp_path):
    talk = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    record = read("t", write(tmp_path / "a.jsonl", [{"messages": talk}]), "auto", "")[0][0].record
    assert plain(record.messages) == talk
    assert written(record.messages) == "[system]\ns\n\n[user]\nu"
    assert written(record.messages[1:]) == "u"
    assert list(grouped(["b", "", "a", "b"])) == [("b", [0, 3]), ("a", [2])]
