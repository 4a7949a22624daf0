"""Every format becomes the same conversation, and what is unfit is dropped for a reason that is counted."""

from __future__ import annotations

import contextlib
import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from align.data import formats
from align.data.record import Message, Unfit
from align.errors import DataError
from tests.align.data.written import jsonl, one, read

ASKED, TOLD = Message("user", "Which river?"), Message("assistant", "The Loire.")
BEFORE = (Message("user", "a"), Message("assistant", "b"))
SYSTEM = Message("system", "Be short.")
Q, A = "Which river?", "The Loire."
CALL = {"name": "find", "arguments": {"of": "Loire"}}
WITH_TOOL = (ASKED, Message("assistant", "", (CALL,)), Message("tool", "1006 km"), TOLD)


@pytest.mark.parametrize(
    ("record", "messages"),
    [
        ({"instruction": Q, "output": A}, (ASKED, TOLD)),
        ({"instruction": "Which", "input": "river?", "output": A}, (Message("user", "Which\nriver?"), TOLD)),
        ({"instruction": Q, "input": "", "output": A, "system": "Be short."}, (SYSTEM, ASKED, TOLD)),
        ({"instruction": Q, "output": A, "history": [["a", "b"]]}, (*BEFORE, ASKED, TOLD)),
        ({"instruction": "Which", "context": "river?", "response": A}, (Message("user", "Which\nriver?"), TOLD)),
        ({"instruction": Q, "instances": [{"input": "", "output": A}]}, (ASKED, TOLD)),
        ({"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]}, (ASKED, TOLD)),
        (
            {"conversations": [{"from": "human", "value": Q}, {"from": "function_call", "value": json.dumps(CALL)},
                               {"from": "observation", "value": "1006 km"}, {"from": "gpt", "value": A}]},
            WITH_TOOL,
        ),
        ({"messages": [{"role": "user", "content": Q}, {"role": "assistant", "content": A}]}, (ASKED, TOLD)),
        (
            {"messages": [{"role": "developer", "content": "Be short."},
                          {"role": "user", "content": [{"type": "text", "text": Q}]},
                          {"role": "assistant", "content": A}]},
            (SYSTEM, ASKED, TOLD),
        ),
        (
            {"messages": [
                {"role": "user", "content": Q},
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "find", "arguments": '{"of": "Loire"}'}}]},
                {"role": "tool", "tool_call_id": "1", "content": "1006 km"}, {"role": "assistant", "content": A}]},
            WITH_TOOL,
        ),
    ],
)  # fmt: skip
def test_conversations_of_every_format(tmp_path, record, messages):
    assert one(tmp_path, record).messages == messages


MINE, OTHER = {"from": "gpt", "value": A}, {"from": "gpt", "value": "No idea."}
SIDES = ((TOLD,), (Message("assistant", "No idea."),))


@pytest.mark.parametrize(
    "record",
    [
        {"prompt": Q, "chosen": A, "rejected": "No idea."},
        {"instruction": Q, "input": "", "chosen": A, "rejected": "No idea."},
        {"prompt": [{"role": "user", "content": Q}], "chosen": [MINE], "rejected": [OTHER]},
        {"conversations": [{"from": "human", "value": Q}], "chosen": MINE, "rejected": OTHER},
        {"messages": [{"role": "user", "content": Q}], "chosen": A, "rejected": "No idea."},
        {
            "prompt": Q,
            "chosen": [{"role": "user", "content": Q}, MINE],
            "rejected": [{"role": "user", "content": Q}, OTHER],
        },
        {"chosen": [{"role": "user", "content": Q}, MINE], "rejected": [{"role": "user", "content": Q}, OTHER]},
        {"chosen": f"\n\nHuman: {Q}\n\nAssistant: {A}", "rejected": f"\n\nHuman: {Q}\n\nAssistant: No idea."},
        {"prompt": f"\n\nHuman: {Q}\n\nAssistant:", "chosen": A, "rejected": "No idea."},
    ],
)
def test_pairs_of_every_form(tmp_path, record):
    made = one(tmp_path, record)
    assert (made.messages, made.sides) == ((ASKED,), SIDES)


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [("axby", "azby"), ("axby", "axcy"), ("ax", "axby"), ("axby", "ax")],
)
def test_transcripts_part_before_an_answer(tmp_path, chosen, rejected):
    def transcript(turns):
        return "".join(f"\n\n{who}: {said}" for who, said in zip(("Human", "Assistant") * 2, turns))

    made = one(tmp_path, {"chosen": transcript(chosen), "rejected": transcript(rejected)})
    assert made.messages == (Message("user", "a"),)
    assert ["".join(turn.content for turn in side) for side in made.sides] == [chosen[1:], rejected[1:]]


def test_margins_are_stated_or_those_of_scores(tmp_path):
    pair = {"prompt": Q, "chosen": A, "rejected": "No idea."}
    assert one(tmp_path, pair).fields == {}
    assert one(tmp_path, {**pair, "margin": 2}).fields == {"margin": 2.0}
    scored = {**pair, "score_chosen": 3.0, "score_rejected": 1}
    assert one(tmp_path, scored).fields == {"chosen_score": 3.0, "margin": 2.0, "rejected_score": 1.0}


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "user", "content": Q}, {"role": "assistant", "content": A}], "label": True},
        {"conversations": [{"from": "human", "value": Q}, {"from": "gpt", "value": A}], "kto_tag": "true"},
        {"prompt": Q, "completion": A, "label": 1},
        {
            "prompt": [{"role": "user", "content": Q}],
            "completion": [{"role": "assistant", "content": A}],
            "label": True,
        },
    ],
)
def test_labels_of_every_form(tmp_path, record):
    made = one(tmp_path, record)
    assert (made.messages, made.fields) == ((ASKED, TOLD), {"label": 1.0})


def test_ratings_are_the_fields_that_are_numbers(tmp_path):
    rated = {"helpfulness": 4, "correctness": 3, "coherence": 4, "complexity": 2, "verbosity": 1}
    made = one(tmp_path, {"prompt": Q, "response": A, **rated, "coherence": None, "id": 7, "toxic": False})
    rated.pop("coherence")  # is not rated
    assert (made.id, made.messages, made.fields) == ("7", (ASKED, TOLD), rated)
    assert list(made.fields) == list(rated)


@pytest.mark.parametrize(
    ("record", "answer"),
    [
        ({"question": Q, "answer": "So 1 + 1 is 2.\n#### 2"}, "2"),
        ({"problem": Q, "solution": r"Then \boxed{0}, no: \boxed{\frac{1}{2}}.", "level": "5"}, r"\frac{1}{2}"),
        ({"problem": Q, "answer": "7", "solution": "Seven."}, "7"),
        ({"prompt": Q, "answer": "7"}, "7"),
        ({"prompt": [{"role": "user", "content": Q}], "reward_model": {"ground_truth": "7"}}, "7"),
    ],
)  # fmt: skip
def test_prompts_bring_the_answer_they_are_checked_by(tmp_path, record, answer):
    made = one(tmp_path, record)
    assert made.prompt == (ASKED,)
    assert made.question == Q
    assert made.task["answer"] == answer
    assert set(record) - {"prompt"} <= set(made.task) | {"answer"}


def test_code_tasks_bring_their_tests(tmp_path):
    task = {
        "task_id": "T/1",
        "prompt": "def f():\n",
        "test": "check",
        "entry_point": "f",
        "canonical_solution": " pass",
    }
    made = one(tmp_path, task)
    assert made.id == "T/1"
    assert made.task == task
    assert made.messages[-1].content == " pass"


LABELLED = {"prompt": Q, "completion": A, "label": True}
PAIR = {"prompt": Q, "chosen": A, "rejected": "No idea."}


def said(*turns):
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


GOOD = said(("user", Q), ("assistant", A))


@pytest.mark.parametrize(
    ("good", "bad", "reason", "detail"),
    [
        (PAIR, {**PAIR, "rejected": ""}, "missing side", "rejected is absent or empty"),
        (PAIR, {"prompt": Q, "chosen": A}, "missing side", "rejected is absent"),
        (PAIR, {**PAIR, "rejected": A + " "}, "equal sides", ""),
        (PAIR, {**PAIR, "margin": math.nan}, "a number that is none", "margin is nan"),
        (PAIR, {**PAIR, "prompt": " "}, "empty turn", "turn 1, of user"),
        (PAIR, {"chosen": GOOD["messages"][:1], "rejected": GOOD["messages"]}, "no prompt", "no turn in common"),
        (PAIR, {"chosen": A, "rejected": "b"}, "no prompt", "no turn in common"),
        (GOOD, said(("user", Q), ("user", Q)), "roles out of order", "turn 2 is user, after user"),
        (GOOD, said(("assistant", A)), "roles out of order", "turn 1 is assistant, and the first"),
        (GOOD, said(("user", Q), ("system", A)), "roles out of order", "system, after user"),
        (GOOD, said(("user", Q), ("assistant", " \n")), "empty turn", "turn 2, of assistant"),
        (GOOD, said(("user", Q), ("tool", A)), "roles out of order", "turn 2 is tool, after user"),
        (GOOD, said(("wizard", Q)), "unknown role", "'wizard'; known are system"),
        (GOOD, {"messages": []}, "no conversation", "it has no turns"),
        (GOOD, {"messages": "hello"}, "no conversation", "a list of turns was expected, not str"),
        (GOOD, said(("user", [{"type": "image_url"}])), "a turn that is not text", "'image_url'"),
        (GOOD, "no json", "broken JSON", "Expecting value"),
        (GOOD, [1], "no object", "a record is list"),
        (GOOD, {"text": Q}, "not messages", "its fields are text"),
        (
            {"conversations": [{"from": "human", "value": Q}, MINE]},
            {"conversations": [{"from": "human", "value": Q}, {"from": "function_call", "value": "{"}]},
            "broken tool call", "function_call is no JSON",
        ),
        (LABELLED, {**LABELLED, "label": "?"}, "no label", "label is '?'"),
        (
            {"prompt": Q, "response": A, "helpfulness": 1}, {"prompt": Q, "response": A, "helpfulness": math.nan},
            "a number that is none", "helpfulness is nan",
        ),
    ],
)  # fmt: skip
def test_what_is_unfit_is_dropped_with_file_and_number(tmp_path, good, bad, reason, detail):
    kept, dropped = read(jsonl(tmp_path / "some.jsonl", [good, bad, good]))
    assert len(kept) == 2
    assert dropped.reasons == {reason: 1}
    assert f"dropped 1 of 3 records: {reason} (first: some.jsonl:2" in dropped.text()
    assert detail in dropped.text()


FIELDS = (
    "instruction", "input", "output", "history", "system", "instances", "response", "conversations", "messages",
    "tools", "prompt", "chosen", "rejected", "margin", "score_chosen", "label", "kto_tag", "completion", "helpfulness",
    "question", "answer", "problem", "solution", "test", "entry_point", "reward_model", "id",
)  # fmt: skip
turn = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "tool", "function_call", 3, ["x"], None]),
        "content": st.sampled_from(["q", "", None, 3, [{"type": "text"}], ["a"], [[]]]),
        "from": st.sampled_from(["human", "gpt", {}]),
        "value": st.sampled_from(["a", "{}", "[1]", {}]),
        "tool_calls": st.sampled_from([[], [{"function": 3}], 3, {}, [{"function": {"name": "f", "arguments": "{"}}]]),
    },
)
hostile = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.lists(turn, max_size=3), turn,
    st.sampled_from(["", " ", "x", "[1", "{}", "\n\nHuman: a\n\nAssistant: b", "\n\nHuman:\n\nAssistant:", "\\boxed{"]),
    st.lists(st.lists(st.sampled_from(["a", None, 1]), max_size=3), max_size=2),
)  # fmt: skip


@pytest.mark.parametrize("name", formats.FORMATS)
@given(st.dictionaries(st.sampled_from(FIELDS), hostile, max_size=6))
def test_any_record_is_taken_or_unfit(name, record):
    with contextlib.suppress(Unfit):
        made = formats.FORMATS[name](record, "some:1")
        assert made.id
        assert all(one.content.strip() or one.calls for one in made.messages)
        assert all(math.isfinite(one) for one in made.fields.values())


def test_an_empty_system_turn_is_none(tmp_path):
    assert one(tmp_path, said(("system", ""), ("user", Q), ("assistant", A))).messages == (ASKED, TOLD)


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".parquet"])
def test_files_of_every_kind_hold_the_same_records(tmp_path, ending):
    records = [said(("user", f"{n}é\u2028"), ("assistant", A)) for n in range(5)]
    path = tmp_path / f"some{ending}"
    if ending == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    elif ending == ".json":
        path.write_text(json.dumps(records))
    elif ending.endswith(".zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write("".join(json.dumps(one) + "\n\n" for one in records).encode())
    else:
        jsonl(path, records)
    kept, dropped = read(str(path))
    assert [one.messages[0].content for one in kept] == [f"{n}é\u2028" for n in range(5)]
    assert [one.id for one in kept] == [one.id for one in read(jsonl(tmp_path / "plain.jsonl", records))[0]]
    assert not dropped.total


def test_half_a_pair_of_surrogates_is_replaced(tmp_path):
    broken = '{"prompt": "a\\ud800b", "answer": "\\ud83d\\ude00", "\\udfff": ["\\udc00"]}'
    for name, content in {"a.jsonl": broken, "a.json": f"[{broken}]"}.items():
        (tmp_path / name).write_text(content)
        (made,) = read(str(tmp_path / name))[0]
        assert made.question == "a\ufffdb"
        assert made.task == {"answer": "\U0001f600", "\ufffd": ["\ufffd"]}


def test_globs_and_lists_name_files_of_several_formats(tmp_path):
    jsonl(tmp_path / "a1.jsonl", [GOOD])
    jsonl(tmp_path / "a2.jsonl", [{"instruction": Q, "output": A}])
    jsonl(tmp_path / "b.jsonl", [{"instruction": Q, "output": A}])
    kept, _ = read([str(tmp_path / "a*.jsonl"), str(tmp_path / "b.jsonl"), str(tmp_path / "a1.jsonl")])
    assert [(one.place, one.messages) for one in kept] == [(f"{n}.jsonl:1", (ASKED, TOLD)) for n in ("a1", "a2", "b")]
    assert len({one.id for one in kept}) == 1  # by content, whatever the format
    assert len(read(str(tmp_path / "*.jsonl"), limit=2)[0]) == 2


@pytest.mark.parametrize(
    ("records", "told"),
    [
        ([GOOD, {"instruction": Q, "output": A}], r"mixed formats: some.jsonl:1 is messages, some.jsonl:2 is alpaca"),
        ([{"text": Q}], r"some.jsonl:1: no format is known by its fields \(text\); name one .* alpaca, sharegpt"),
        (["{"], r"some.jsonl:1: no format is known by its fields \(broken JSON: Exp"),
    ],
)  # fmt: skip
def test_a_file_of_no_one_format_is_refused(tmp_path, records, told):
    with pytest.raises(DataError, match=told):
        read(jsonl(tmp_path / "some.jsonl", records))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("some.txt", b"", "its ending tells no format"),
        ("some.json", b"[{]", "is no JSON array, though it begins with"),
        ("some.jsonl.gz", b"\x1f\x8b\x00", "cannot be read to its end"),
        ("some.jsonl", b"\xff\xfe", "cannot be read to its end"),
        ("some.parquet", b"PAR1", "cannot be read to its end"),
    ],
)
def test_a_damaged_file_is_one_clear_line(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told):
        read(str(tmp_path / name))


@pytest.mark.parametrize("path", ["", [], (), [3]])
def test_a_path_that_names_nothing_is_refused(path):
    with pytest.raises(DataError, match=r"data.path is .*; it must be a file, a glob, or a list"):
        read(path)


REAL = {  # file -> (records, kept)
    "sft/alpaca_en_demo.json": (999, 999),
    "sft/glaive_toolcall_en_demo.json": (300, 300),
    "sft/self_instruct_seed_tasks.jsonl": (175, 175),
    "preference/dpo_en_demo_A.json": (150, 150),
    "preference/hh_harmless_A.jsonl.gz": (600, 598),  # two have empty turns
    "preference/kto_en_demo.json": (300, 300),
    "math/gsm8k_train_3000.jsonl": (3000, 3000),
    "benchmarks/gsm8k_test_200.jsonl": (200, 200),
    "benchmarks/HumanEval.jsonl.gz": (164, 164),
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_files_are_read_whole(shared, name):
    kept, dropped = read(str(shared / "data" / name))
    assert (dropped.read, len(kept)) == REAL[name]


@pytest.mark.realdata
def test_real_answers_are_numbers(shared):
    kept, _ = read(str(shared / "data/math/gsm8k_train_3000.jsonl"))
    assert all(one.task["answer"].replace(",", "").lstrip("-").replace(".", "").isdigit() for one in kept)
