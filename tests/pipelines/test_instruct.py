"""From instruction data through a curated run to examples: files are all that passes between the two."""

from __future__ import annotations

import json

import pytest

from align.config import Data
from align.data.chat import Chat
from align.data.dataset import load
from align.data.dropped import Dropped
from align.data.formats import read
from curator import Pipeline
from pipelines import recipes
from tests.align.data.tokenizers import tokenizer
from tests.align.data.written import jsonl

QUESTION = (
    "A farmer sells seven crates of apples at the market on Monday and twice as many crates on Tuesday morning. How "
    "many crates did she sell in all?"
)
WORDS = ["river", "stone", "cloud", "market", "garden", "engine", "letter", "window", "winter", "painter", "signal"]


def story(seed: int) -> str:
    return " ".join(WORDS[(seed * 7 + n * (seed + 3)) % len(WORDS)] + str(seed * n % 13) for n in range(30)) + "."


def talk(*said: str) -> dict:
    return {"messages": [{"role": role, "content": one} for role, one in zip(("user", "assistant") * 3, said)]}


def curated(folder, inputs, benchmark, *settings):
    pipeline = recipes.load("instruct", inputs, [f"Decontaminate.benchmarks={benchmark}", *settings])
    return pipeline.run(str(folder), workers=0)


def test_duplicates_and_benchmark_items_go_and_addresses_are_redacted_inside_the_turns(tmp_path):
    mail = "Write to jane.doe@mills.org or bob@mills.org.\n\nThen wait."
    records = [
        talk(story(1), story(2), story(3), story(4)),
        talk(story(1).upper(), story(2), story(3) + "!", story(4)),  # the same words
        talk(story(1), story(2), story(3), story(4) + " And so on."),  # nearly the same
        talk("Please solve this: " + QUESTION, "Twenty-one."),
        {**talk(story(5), mail), "source": "letters"},
        talk(story(6), "Fine."),
    ]
    benchmark = jsonl(tmp_path / "bench.jsonl", [{"question": QUESTION, "answer": "#### 21"}])
    curated(tmp_path / "run", [jsonl(tmp_path / "some.jsonl", records)], benchmark)
    dropped = Dropped()
    made = list(read(str(tmp_path / "run/documents/*.parquet"), "auto", dropped))
    assert not dropped.total
    redacted = mail.replace("jane.doe@mills.org", "<EMAIL>").replace("bob@mills.org", "<EMAIL>")
    expected = [records[0], {**records[4], **talk(story(5), redacted)}, records[5]]
    assert [[one.content for one in each.messages] for each in made] == [
        [one["content"] for one in each["messages"]] for each in expected
    ]
    chat = Chat(tokenizer(), "chatml")
    data = load(
        Data(path=str(tmp_path / "run/documents/*.parquet")), chat, "sequences", max_length=4096, global_batch=3
    ).train
    learnt = [chat.tokenizer.decode(one.sequences[0].tokens[one.sequences[0].mask]) for one in next(iter(data))]
    assert learnt[1] == redacted + "<|im_end|>"


def test_pairs_keep_their_margins_and_sides_apart(tmp_path):
    pair = {"prompt": story(1), "chosen": "Mail me: jane@mills.org", "rejected": "No.", "margin": 0.5}
    benchmark = jsonl(tmp_path / "bench.jsonl", [{"question": QUESTION, "answer": "21"}])
    curated(tmp_path / "run", [jsonl(tmp_path / "some.jsonl", [pair])], benchmark)
    (made,) = read(str(tmp_path / "run/documents/*.parquet"), "auto", Dropped())
    assert [side[0].content for side in made.sides] == ["Mail me: <EMAIL>", "No."]
    assert made.fields == {"margin": 0.5}


def test_a_stage_that_cuts_the_marks_is_noticed(tmp_path):
    import curator

    path = jsonl(tmp_path / "some.jsonl", [talk(story(1) + "\n- a", story(2))])
    stages = [curator.ReadConversations(path), curator.C4Lines(min_words=2, max_cut=1.0)]
    Pipeline(stages).run(str(tmp_path / "run"), workers=0)
    dropped = Dropped()
    assert not list(read(str(tmp_path / "run/documents/*.parquet"), "messages", dropped))
    assert "turns that curation cut" in dropped.text()


def test_benchmarks_must_be_named(tmp_path):
    with pytest.raises(ValueError, match="benchmarks names no file"):
        recipes.load("instruct", [jsonl(tmp_path / "a.jsonl", [talk("a", "b")])], []).run(
            str(tmp_path / "run"), workers=0
        )


@pytest.mark.realdata
def test_real_instruction_data_is_curated_and_read(shared, tmp_path):
    data = shared / "data"
    gsm8k = str(data / "benchmarks/gsm8k_test_200.jsonl")
    planted = [json.loads(line) for line in (data / "benchmarks/gsm8k_test_200.jsonl").read_text().splitlines()[:20]]
    extra = jsonl(tmp_path / "planted.jsonl", [talk(one["question"], one["answer"]) for one in planted])
    names = ("sft/alpaca_en_demo.json", "sft/glaive_toolcall_en_demo.json", "sft/self_instruct_seed_tasks.jsonl")
    result = curated(tmp_path / "run", [*(str(data / one) for one in names), extra], gsm8k)
    rejected = {one["stage"]: sum(one["rejected"].values()) for one in result.summary["stages"]}
    assert rejected["Decontaminate"] == 20
    assert rejected["ExactDedup"] + rejected["FuzzyDedup"] > 0
    before, dropped = Dropped(), Dropped()
    whole = {repr(one.messages) for name in names for one in read(str(data / name), "auto", before)}
    made = list(read(str(tmp_path / "run/documents/*.parquet"), "auto", dropped))
    assert not dropped.total
    assert before.read + 20 - sum(rejected.values()) == len(made)
    changed = [one for one in made if repr(one.messages) not in whole]
    assert 0 < len(changed) < 40
    assert all("<" in "".join(turn.content for turn in one.messages) for one in changed)
    examples = load(
        Data(path=str(tmp_path / "run/documents/*.parquet"), too_long="truncate"),
        Chat(tokenizer(), "chatml"), "sequences", max_length=2048, global_batch=8,
    )  # fmt: skip
    assert examples.dropped.total + len(examples.train) == len(made)
