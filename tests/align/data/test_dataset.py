"""Batches depend on the step alone, and everything that was read is used or accounted for."""

from __future__ import annotations

import collections
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from align.data.dataset import Dataset
from align.errors import DataError
from tests.align.data.written import jsonl, loaded, talks

PAIRS = [{"prompt": f"q{n}", "chosen": f"good {n}", "rejected": f"bad {n}", "margin": n / 2} for n in range(12)]
LABELLED = [{"prompt": f"q{n}", "completion": f"answer {n}", "label": n % 2 == 0} for n in range(12)]
RATED = [{"prompt": f"q{n}", "response": "r", "helpfulness": n % 5, "verbosity": 1} for n in range(12)]
SUMS = [{"question": f"What is {n} + 1?", "answer": f"{n} + 1.\n#### {n + 1}"} for n in range(12)]
KINDS = {
    "sequences": talks(12),
    "pairs": PAIRS,
    "labelled": LABELLED,
    "attributes": RATED,
    "steered": RATED,
    "prompts": SUMS,
}


def same(one, other):
    assert one.id == other.id
    if hasattr(one, "sequences"):
        assert len(one.sequences) == len(other.sequences)
        for a, b in zip(one.sequences, other.sequences):
            np.testing.assert_array_equal(a.tokens, b.tokens)
            np.testing.assert_array_equal(a.mask, b.mask)
            assert a.tokens.dtype == np.int64
        assert one.fields.keys() == other.fields.keys()
        for name in one.fields:
            np.testing.assert_array_equal(one.fields[name], other.fields[name])
    else:
        np.testing.assert_array_equal(one.tokens, other.tokens)
        assert (one.text, one.task, one.messages) == (other.text, other.task, other.messages)
        assert (one.gold is None) == (other.gold is None)


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 99), st.lists(st.integers(0, 30), min_size=1, max_size=5))
@settings(max_examples=50)
def test_a_batch_depends_on_its_step_alone(size, batch, seed, steps):
    items = list(range(size))
    whole = Dataset(items, batch, seed)
    in_turn = [whole.batch(step) for step in range(max(steps) + 1)]
    for step in steps:
        assert Dataset(items, batch, seed).batch(step) == in_turn[step]
        assert len(in_turn[step]) == batch


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=50)
def test_every_example_is_there_once_an_epoch(size, batch, seed):
    data = Dataset(list(range(size)), batch, seed)
    order = [one for step in range(data.steps(3)) for one in data.batch(step)]
    epochs = [order[n : n + size] for n in range(0, 3 * size, size)]
    assert all(sorted(one) == list(range(size)) for one in epochs)
    assert size < 20 or len({tuple(one) for one in [*epochs, range(size)]}) == 4
    assert [one for some in data for one in some] == list(range(size))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_the_same_out_of_memory_and_out_of_the_cache(tmp_path, kind):
    path = jsonl(tmp_path / "some.jsonl", [*KINDS[kind], "broken"])
    made = loaded(path, kind)
    written = loaded(path, kind, cache=str(tmp_path / "work"))
    (tmp_path / "work" / f"{kind}-{made.fingerprint}.arrow").stat()
    again = loaded(path, kind, cache=str(tmp_path / "work"))
    for other in (written, again):
        assert (other.fingerprint, other.dropped, other.attributes) == (made.fingerprint, made.dropped, made.attributes)
        for step in range(8):
            for a, b in zip(made.train.batch(step), other.train.batch(step), strict=True):
                same(a, b)
    assert made.dropped.reasons == {"broken JSON": 1}


def test_the_cache_is_not_read_for_other_data_or_settings(tmp_path):
    path = jsonl(tmp_path / "some.jsonl", talks(8))
    first = loaded(path, "sequences", cache=str(tmp_path / "work"))
    shorter = loaded(path, "sequences", cache=str(tmp_path / "work"), max_length=40)
    assert len(shorter.train) < len(first.train)
    jsonl(tmp_path / "some.jsonl", talks(9))
    assert len(loaded(path, "sequences", cache=str(tmp_path / "work")).train) == 9
    prints = {
        loaded(path, "sequences", **one).fingerprint
        for one in ({}, {"train_on": "last"}, {"template": "plain"}, {"max_length": 99}, {"seed": 1}, {"limit": 5},
                    {"validation_share": 0.3}, {"too_long": "truncate"})
    }  # fmt: skip
    assert len(prints) == 8
    assert loaded(path, "sequences", batch=3).fingerprint in prints  # the same examples


def test_validation_is_drawn_by_id_whatever_else_is_there(tmp_path):
    def split(records):
        made = loaded(jsonl(tmp_path / "some.jsonl", records), "sequences", validation_share=0.3)
        sides = [{one.id for some in side for one in some} for side in (made.train, made.validation)]
        assert not sides[0] & sides[1]
        assert len(sides[0] | sides[1]) == len(records)
        return sides

    train, validation = split(talks(40))
    more = split(talks(60)[::-1])
    assert train <= more[0]
    assert validation <= more[1]
    assert 5 <= len(validation) <= 20


def test_validation_files_are_apart(tmp_path):
    train, validation = jsonl(tmp_path / "a.jsonl", talks(4)), jsonl(tmp_path / "b.jsonl", talks(3, first=9))
    made = loaded(train, "sequences", validation=validation, limit=3)
    assert (len(made.train), len(made.validation)) == (3, 3)
    assert [len(some) for some in made.validation] == [2, 1]


def test_no_two_examples_share_an_id(tmp_path):
    records = [*talks(3), *talks(2), {**talks(1)[0], "id": "mine"}, {**talks(2)[1], "id": "mine"}]
    made = loaded(jsonl(tmp_path / "some.jsonl", records), "sequences")
    ids = [one.id for some in made.train for one in some]
    assert len(set(ids)) == len(ids) == 7
    assert ids[5:] == ["mine", "mine~2"]
    assert "kept, under an id of their own): 3 of 7" in made.dropped.text()


def test_what_is_read_is_used_or_accounted_for(tmp_path):
    records = [
        *talks(6),
        {"instruction": "", "output": "x"},
        {"instruction": "a", "output": ""},
        7,
        talks(1)[0] | {"output": "x " * 999},
    ]
    made = loaded(jsonl(tmp_path / "some.jsonl", records), "sequences")
    assert made.dropped.read == len(made.train) + made.dropped.total == 10
    assert made.dropped.reasons == {"empty turn": 2, "no object": 1, "too long": 1}


MARGINS = [PAIRS[0], *({k: v for k, v in one.items() if k != "margin"} for one in PAIRS[1:])]  # of one pair alone


def test_pairs_keep_the_fields_that_are_read_and_no_other_drops_one(tmp_path):
    for records in (MARGINS, MARGINS[::-1]):
        made = loaded(jsonl(tmp_path / "some.jsonl", records), "pairs")
        assert len(made.train) == 12
        assert not made.dropped.total
        assert all(not one.fields for some in made.train for one in some)
    path = jsonl(tmp_path / "some.jsonl", [*MARGINS[1:4], *PAIRS[4:]])
    made = loaded(path, "pairs", numbers=("margin",))
    assert made.dropped.reasons == {"no margin": 3}
    assert {one.fields["margin"] for some in made.train for one in some} == {n / 2 for n in range(4, 12)}
    assert loaded(path, "pairs").fingerprint != made.fingerprint


def test_attributes_are_all_that_the_data_has_or_those_named(tmp_path):
    path = jsonl(tmp_path / "some.jsonl", RATED)
    every = loaded(path, "attributes")
    assert every.attributes == ("helpfulness", "verbosity")
    np.testing.assert_array_equal(next(iter(every.train))[1].fields["attributes"], [1, 1])
    one = loaded(path, "attributes", attributes=("verbosity",))
    assert next(iter(one.train))[1].fields["attributes"].shape == (1,)


def test_kto_batches_hold_mismatched_pairs(tmp_path):
    made = loaded(jsonl(tmp_path / "some.jsonl", LABELLED), "labelled", batch=3)
    for step in range(5):
        assert [len(one.sequences) for one in made.train.batch(step)] == [2, 2, 2]
    four = loaded(jsonl(tmp_path / "some.jsonl", LABELLED[:7]), "labelled", batch=3).train
    assert [len(some) for some in four] == [3, 4]  # nobody is paired with itself
    counted = collections.Counter(one.fields["label"] for some in made.train for one in some)
    assert counted == {1.0: 6, 0.0: 6}


@pytest.mark.parametrize(
    ("records", "kind", "settings", "told"),
    [
        ([], "sequences", {}, "the data set is empty"),
        ([7, "x", {"messages": 3}], "sequences", {"format": "messages"}, r"none of 3 records can be .*: some.jsonl:1"),
        (talks(3), "sequences", {"batch": 4}, "3 examples to train on are fewer than training.global_batch, 4"),
        (talks(3), "sequences", {"max_length": 30, "too_long": "refuse"}, r"some.jsonl:1 is too long: \d+ tokens; max"),
        (talks(3), "sequences", {"validation_share": 1e-9}, "no example is left to validate on"),
        (LABELLED[::2], "labelled", {}, "all 6 labels are good; KTO needs both kinds"),
        (LABELLED, "labelled", {"batch": 1}, "needs at least 2"),
        (talks(3), "pairs", {}, "none of 3 records can be used: no pair: 3"),
        (
            PAIRS[:3],
            "pairs",
            {"numbers": ("chosen_score", "rejected_score")},
            "none of 3 records .*: no chosen_score and no rejected_score: 3 .*some.jsonl:1: .*there is margin",
        ),
        (PAIRS, "sequences", {}, "none of 12 records can be used: a preference: 12"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used_is_refused_in_one_line(tmp_path, records, kind, settings, told):
    with pytest.raises(DataError, match=told) as caught:
        loaded(jsonl(tmp_path / "some.jsonl", records), kind, **settings)
    assert "\n" not in str(caught.value)


def test_few_prompts_are_enough(tmp_path):
    made = loaded(jsonl(tmp_path / "some.jsonl", SUMS[:2]), "prompts", batch=5)
    assert [len(made.train.batch(step)) for step in range(3)] == [5, 5, 5]


REAL = {
    "sft/alpaca_en_demo.json": "sequences", "sft/glaive_toolcall_en_demo.json": "sequences",
    "preference/dpo_en_demo_A.json": "pairs", "preference/hh_harmless_A.jsonl.gz": "pairs",
    "preference/kto_en_demo.json": "labelled", "math/gsm8k_train_3000.jsonl": "prompts",
    "benchmarks/HumanEval.jsonl.gz": "prompts",
}  # fmt: skip


@pytest.mark.realdata
@pytest.mark.parametrize("name", REAL)
def test_real_files_become_examples(shared, name):
    made = loaded(str(shared / "data" / name), REAL[name], max_length=1024, too_long="truncate", limit=150, batch=16)
    assert made.dropped.read == len(made.train) + made.dropped.total
    batch = made.train.batch(2)
    if REAL[name] == "prompts":
        assert all(json.dumps(one.task) and one.text for one in batch)
    else:
        assert all(len(one.tokens) <= 1024 and one.mask.any() for each in batch for one in each.sequences)
