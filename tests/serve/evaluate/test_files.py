import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millrace.errors import MillraceError
from serve.errors import EvaluationError
from serve.evaluate import files
from serve.evaluate.tasks import make

RECORDS = [{"goal": f"g{n}", "sol1": 'a, "b"\nc', "sol2": "é", "label": n % 2} for n in range(3)]


def test_every_format_gives_the_same_items(tmp_path):
    lines = "\n".join(map(json.dumps, RECORDS))
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "a.json").write_text(json.dumps(RECORDS))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "a.csv").write_text(
        "goal,sol1,sol2,label\n" + "".join(f'g{n},"a, ""b""\nc",é,{n % 2}\n' for n in range(3)), "utf-8"
    )
    (tmp_path / "a.tsv").write_text(
        "goal\tsol1\tsol2\tlabel\n" + "".join(f'g{n}\t"a, ""b""\nc"\té\t{n % 2}\n' for n in range(3)), "utf-8"
    )
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "a.parquet")
    for ending in ("jsonl", "json", "jsonl.gz", "csv", "tsv", "parquet"):
        read = make("piqa", {"path": str(tmp_path / f"a.{ending}")}).read()
        assert [one.question.contexts for one in read.items] == [(f"Question: g{n}\nAnswer:",) for n in range(3)]
        assert [one.question.gold for one in read.items] == [0, 1, 0]
        assert read.items[0].question.choices == ('a, "b"\nc', "é")


BAD = {
    "hellaswag": [
        ({}, "bad.jsonl:2: field ctx_a is missing; fields of the record: none"),
        ({"ctx_a": "a", "ctx_b": "b", "activity_label": "c", "endings": ["x"], "label": 0},
         "bad.jsonl:2: field endings holds 1 answer; at least 2 are needed"),
        ({"ctx_a": "a", "ctx_b": "b", "activity_label": "c", "endings": ["x", "y"], "label": 2},
         "bad.jsonl:2: field label is 2; it must be a number from 0 to 1"),
        ({"ctx_a": "a", "ctx_b": "b", "activity_label": "c", "endings": ["x", "[y]"], "label": 1},
         "bad.jsonl:2: answer 2 of 2 is empty"),
        ({"ctx_a": 3, "ctx_b": "b", "activity_label": "c", "endings": ["x", "y"], "label": 1},
         "bad.jsonl:2: field ctx_a is 3; it must be text"),
    ],
    "winogrande": [
        ({"sentence": "no blank", "option1": "a", "option2": "b", "answer": "1"}, "field sentence has no _"),
        ({"sentence": "a _ b", "option1": "a", "option2": "b", "answer": "0"}, "a number from 1 to 2"),
    ],
    "arc_easy": [
        ({"question": "q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "C"},
         "field answerKey is 'C'; the 2 answers are labelled A, B"),
    ],
    "race": [
        ({"article": "a", "problems": "import os"}, "field problems is 'import os'; it must be a list of"),
        ({"article": "a", "questions": ["q"], "answers": ["A"], "options": []}, "have different lengths"),
        ({"article": "a", "problems": [{"question": "q", "options": ["x", "y"], "answer": "C"}]},
         "bad.jsonl:2, problem 1: field answer is 'C'; it must be a number from 0 to 1 or a letter from A to B"),
    ],
    "mmlu": [
        ({"question": "q", "choices": list("abc"), "answer": 0}, "field choices holds 3 answers; at least 4"),
        ({"question": "q", "choices": list("abcd"), "answer": 0}, "field subject is missing"),
    ],
    "gsm8k": [({"question": "q", "answer": "7"}, "it must be a solution that ends with #### NUMBER")],
    "math500": [({"problem": "q", "solution": "7"}, "neither a field answer nor a \\boxed")],
    "perplexity": [({"text": ""}, "bad.jsonl:2: field text is empty")],
    "multiple_choice": [({"question": "q", "choices": ["a", "b"], "label": "c"}, "field label is 'c'")],
}  # fmt: skip


@pytest.mark.parametrize(("name", "record", "said"), [(n, *one) for n, cases in BAD.items() for one in cases])
def test_a_record_that_lacks_something_is_named_by_file_line_and_field(tmp_path, name, record, said):
    (tmp_path / "bad.jsonl").write_text("\n" + json.dumps(record) + "\n")
    with pytest.raises(EvaluationError) as raised:
        make(name, {"path": str(tmp_path / "bad.jsonl")}).read()
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b"", "a.jsonl is empty: piqa needs at least one record"),
        ("a.csv", b"goal,sol1\n", "a.csv is empty"),
        ("a.csv", b"goal,sol1\na\n", "a.csv:2: 1 values for 2 columns"),
        ("a.csv", b"goal\n\xff\n", "is not UTF-8"),
        ("a.jsonl", b"{broken", "a.jsonl:1: broken JSON"),
        ("a.jsonl", b"[1]", "a.jsonl:1: a record is an object of fields, not '1'"),
        ("a.parquet", b"nothing", "a.parquet"),
        ("a.dat", b"{}", "its ending tells no format"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MillraceError) as raised:
        files.read("piqa", str(tmp_path / name))
    assert said in str(raised.value)


def test_files_of_one_name_are_known_by_their_paths(tmp_path):
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.jsonl").write_text(json.dumps(RECORDS[0]))
    _, known = files.read("piqa", str(tmp_path / "*" / "a.jsonl"))
    assert sorted(known) == [str(tmp_path / folder / "a.jsonl") for folder in ("x", "y")]
