"""A run keeps what its loss reads of the data, and says before it starts what they lack."""

from __future__ import annotations

import json

import pytest

from align.errors import DataError
from align.run.data import RunData
from align.run.start import open_chat
from tests.align.run.runs import ASKED, configuration

SIDES = [{"prompt": one, "chosen": "the quick fox", "rejected": f"dog {one[-1]} and"} for one in ASKED]
SCORED = [{**one, "chosen_score": 3 + n, "rejected_score": 1.0} for n, one in enumerate(SIDES)]


def read(method, loss, records, base, folder):
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    config = configuration(method, base, str(path), **{method: {"loss": loss}})
    return RunData(config, open_chat(config))


@pytest.mark.parametrize(
    ("method", "loss"), [("dpo", "dpo"), ("dpo", "simpo"), ("dpo", "ipo"), ("reward_model", "bradley_terry")]
)
def test_what_a_loss_does_not_read_drops_no_pair(method, loss, base, tmp_path):
    records = [SCORED[0] | {"margin": 2}, {**SIDES[1], "margin": 1}, *SIDES[2:]]
    made = read(method, loss, records, base, tmp_path)
    assert (len(made.train), made.loaded.dropped.total) == (16, 0)
    assert not any(one.fields for one in made.everything)


@pytest.mark.parametrize(("method", "loss"), [("dpo", "rpo_sq"), ("dpo", "rpo_bwd_kl"), ("reward_model", "scaled")])
def test_what_a_loss_reads_is_kept_and_pairs_without_it_are_dropped(method, loss, base, tmp_path):
    made = read(method, loss, [*SIDES[:5], *SCORED[5:]], base, tmp_path)
    names = {"margin"} if method == "reward_model" else {"chosen_score", "rejected_score"}
    assert len(made.train) == 11
    assert all(set(one.fields) == names for one in made.everything)
    assert "dropped 5 of 16 records" in "\n".join(made.describe())


@pytest.mark.parametrize("loss", ["margin", "scaled"])
def test_a_loss_of_margins_is_refused_where_no_pair_has_one(loss, base, tmp_path):
    with pytest.raises(DataError, match=r"none of 16 records can be used: no margin: 16 .*the loss reads it"):
        read("reward_model", loss, SIDES, base, tmp_path)


def test_rpo_takes_pairs_of_which_none_is_scored(base, tmp_path):
    made = read("dpo", "rpo_fwd_kl", SIDES, base, tmp_path)
    assert len(made.train) == 16
    assert not any(one.fields for one in made.everything)
