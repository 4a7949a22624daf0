"""Alignment data by script: what is held out stays out, and the same documents give the same bytes."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from curator import ExactDedup, Pack, Pipeline, ReadJsonl, Tokenize
from millrace import storage
from pipelines import alignment
from pipelines.full import documents, records, tasks
from pipelines.full.records import Settings
from pipelines.full.sections import MAX_CHARACTERS, sections
from pretrain.config import Data
from pretrain.data.corpus import Corpus

WORDS = "session engine table column query mapper flush commit row index key value driver dialect pool event".split()
SHARED = "This paragraph stands in many of the pages, whatever they are about, and nobody should be asked about it."


def prose(seed: int, words: int = 22) -> str:
    drawn = random.Random(seed)
    return " ".join(drawn.choice(WORDS) + str(drawn.randrange(90)) for _ in range(words)).capitalize() + "."


def pages(count: int) -> list[dict[str, str]]:
    """Pages of five sections, each in two releases; one section is the same in all pages."""
    made = []
    for number in range(count):
        parts = [f"Page {number:02}¶", prose(number * 100)]
        parts += [line for k in range(4) for line in (f"Part {number:02} of {k}¶", prose(number * 100 + k + 1))]
        parts += [f"Notice {number:02}¶", SHARED]
        for release in ("one", "two"):
            text = "\n".join([*parts, f"Only in {release} {number}¶", prose(number * 100 + 50 + len(release))])
            made.append({"id": f"{number}-{release}", "url": f"http://{release}.localhost/{number}.html", "text": text})
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> str:
    """A small curation run, packed."""
    folder = tmp_path_factory.mktemp("full")
    lines = "".join(json.dumps(page) + "\n" for page in pages(40))
    (folder / "pages.jsonl").write_text(lines)
    stages = [ReadJsonl(str(folder / "pages.jsonl")), ExactDedup(), Tokenize(vocab_size=400), Pack(seq_length=64)]
    Pipeline(stages).run(str(folder / "run"), workers=0)
    return str(folder / "run")


@pytest.fixture(scope="module")
def made(run, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    records.make(run, str(folder), DATA, Settings())
    return folder


DATA = Data(validation_share=0.25)


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_no_text_of_a_held_out_document_is_in_any_training_file(run, made):
    held = {one["id"]: one["text"] for one in lines(made / "held/documents.jsonl")}
    assert 10 < len(held) < 40
    whole = "\n".join(held.values())
    learnt = [
        one for one in lines(made / "sft.jsonl") + lines(made / "dpo.jsonl") if not one["id"].endswith(")")
    ]  # no task
    texts = [turn["content"] for one in learnt for turn in one.get("messages", ())]
    texts += [one[side] for one in learnt for side in ("prompt", "chosen", "rejected") if side in one]
    assert len(texts) > 1000
    assert [text for text in texts if text in whole] == []
    named = {one["id"].partition("#")[0] for one in learnt} | {
        one.get("rejected_id", "").partition("#")[0] for one in learnt
    }
    assert not named & set(held)


def test_no_held_out_section_is_in_a_document_that_is_learnt_from(run, made):
    held = {one["id"] for one in lines(made / "held/documents.jsonl")}
    learnt = "\n".join(one.text for one in documents.read(run) if one.id not in held)
    asked = [one["messages"][1]["content"] for one in lines(made / "held/sections.jsonl")]
    asked += [one[side] for one in lines(made / "held/pairs.jsonl") for side in ("chosen", "rejected")]
    asked += [text for one in lines(made / "held/choices.jsonl") for text in one["choices"]]
    assert len(asked) > 100
    assert [text for text in asked if text in learnt] == []


def test_pretraining_holds_out_the_same_documents(run, made):
    data = Data(shards=(run,), validation_share=0.25, clusters=str(made / "clusters.parquet"), seq_length=64)
    held = {one["id"] for one in lines(made / "held/documents.jsonl")}
    corpus = Corpus(data)
    (one,) = corpus.sets
    pieces = documents.held_ids(data)
    assert pieces == held
    assert 0 < sum(corpus.train_tokens) < sum(int(shard.lengths.sum()) for shard in one.shards)


def test_the_releases_of_a_page_are_on_one_side(made):
    held = {one["id"].partition("-")[0] for one in lines(made / "held/documents.jsonl")}
    assert all(
        {f"{page}-one", f"{page}-two"} <= {one["id"] for one in lines(made / "held/documents.jsonl")} for page in held
    )


def test_the_same_documents_give_the_same_bytes(run, made, tmp_path):
    records.make(run, str(tmp_path / "again"), DATA, Settings())
    names = [*storage.read_json(str(made / "manifest.json"))["files"], "manifest.json", "clusters.parquet"]
    assert all((made / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)
    records.make(run, str(tmp_path / "other"), DATA, Settings(seed=1))
    assert (made / "sft.jsonl").read_bytes() != (tmp_path / "other" / "sft.jsonl").read_bytes()


def test_the_manifest_counts_what_the_files_hold(made):
    manifest = storage.read_json(str(made / "manifest.json"))
    for name, said in manifest["files"].items():
        assert said["records"] == len(lines(made / name))
    counts = manifest["counts"]
    assert counts["sections learnt"] == len(lines(made / "sft.jsonl")) - counts["tasks shown"]
    assert counts["sections held out"] == len(lines(made / "held/sections.jsonl"))
    assert counts["sections left out: in documents of both sides"] == 80  # the paragraph of every page
    assert counts["sections left out: in another release"] == 40 * 5


def test_a_wrong_section_is_another_page_s_and_of_nearly_the_same_length(made):
    pairs = lines(made / "dpo.jsonl")
    for pair in pairs:
        page, other = (pair[name].partition("-")[0] for name in ("id", "rejected_id"))
        assert page != other
    off = sorted(abs(len(pair["chosen"]) - len(pair["rejected"])) / len(pair["chosen"]) for pair in pairs)
    assert off[len(off) // 2] < 0.05


def test_a_choice_has_one_true_section_at_the_place_it_names(made):
    true = {one["id"]: one["messages"] for one in lines(made / "held/sections.jsonl")}
    places = set()
    for one in lines(made / "held/choices.jsonl"):
        asked, answer = (turn["content"] for turn in true[one["id"]])
        assert (one["question"], one["choices"][one["answer"]]) == (asked, answer)
        assert len(set(one["choices"])) == 4
        places.add(one["answer"])
    assert places == {0, 1, 2, 3}


def test_a_held_out_task_is_in_no_wording_among_those_learnt():
    learnt, held = tasks.split(0, 0.2)
    assert not {one.key for one in learnt} & {one.key for one in held}
    assert not {one.prompt for one in learnt} & {one.prompt for one in held}
    assert len(learnt) + len(held) == len({one.prompt for one in tasks.everything()})
    assert {one.kind for one in held} == set(tasks.KINDS)
    assert 0.1 < len(held) / (len(held) + len(learnt)) < 0.3


def test_every_task_s_answer_earns_all_of_its_rewards():
    from align.rewards.format import Format
    from align.rewards.math import Math
    from align.rewards.reward import Completion

    none = np.zeros(0, np.int64)
    done = [
        Completion(one.prompt, f" {one.completion}", none, none, finished=True, task={"answer": one.answer})
        for one in tasks.everything()
    ]
    assert set(Math()(done)) == {1.0}
    rewards = [alignment.load("demo-grpo").rewards[place] for place in (0, 1)]
    assert rewards == [{"math": {}}, {"format": {"pattern": tasks.FORM, "finished": True, "weight": tasks.WEIGHT}}]
    assert set(Format(pattern=tasks.FORM, finished=True)(done)) == {1.0}
    bare = [replace(one, text=one.text.strip(" []")) for one in done]
    assert set(Math()(bare)) == {1.0}
    assert set(Format(pattern=tasks.FORM)(bare)) == {0.0}


def test_fine_tuning_shows_the_form_of_tasks_now_and_then(made):
    shown = [one["messages"][1]["content"] for one in lines(made / "sft.jsonl") if one["id"].endswith(")")]
    formed = sum(bool(re.fullmatch(tasks.FORM, answer)) for answer in shown)
    assert 0.35 < formed / len(shown) < 0.45


def test_sections_are_headings_in_words_with_whole_sentences():
    text = (
        f"The Page¶\n{prose(1)} Cut\nclass Engine(x)¶\n{prose(2)}\nShort¶\nToo short.\nLinks¶\n"
        f"| a | b |\n|---|---|\n{prose(3)}\nPart One¶\n{prose(4)} {prose(5, 80)}"
    )
    found = list(sections(text))
    assert [one.question for one in found] == ["The Page", "The Page: Part One"]
    assert [one.answer for one in found] == [prose(1), prose(4)]
    assert all(one.answer.endswith(".") and len(one.answer) <= MAX_CHARACTERS for one in found)


def test_text_without_headings_has_no_sections():
    assert list(sections(prose(1, 200))) == []
    assert list(sections("")) == []
