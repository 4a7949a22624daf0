"""Checkpoints by real ranks: what is loaded goes on as if nothing had happened, whichever sizes wrote it."""

from __future__ import annotations

import pytest

from tests.pretrain.mcore import ranks

FROM, TO = 1, 4
MOE = {"model": {"experts": 4, "experts_per_token": 2}}
TP2 = {"parallel": {"tensor": 2, "sequence": True}}
PP2 = {"parallel": {"pipeline": 2}}
INTERLEAVED = {"parallel": {"pipeline": 2, "virtual_pipeline": 2}}
DP2 = {"parallel": {"distributed_optimizer": True, "overlap": True}}
PLAIN = {}
EP2 = {"parallel": {"expert": 2, "distributed_optimizer": True}, **MOE}
BF16 = {"training": {"precision": "bf16"}}
DP2_BF16 = {**DP2, **BF16}
DP2_DROPOUT = {**DP2, "model": {"dropout": 0.1}}
SAVED = {"one": {}, "moe": MOE}  # by one rank
SAVED_BY_TWO = {"tp2": TP2, "interleaved": INTERLEAVED, "dp2": DP2, "ep2": EP2, "dp2-bf16": DP2_BF16,
                "dp2-dropout": DP2_DROPOUT}  # fmt: skip
IN_TWO = [("one", TP2), ("one", INTERLEAVED), ("dp2", TP2), ("tp2", DP2), ("interleaved", PP2), ("dp2", PLAIN),
          ("moe", EP2), ("dp2-bf16", BF16)]  # fmt: skip
IN_ONE = [("tp2", {}), ("interleaved", {}), ("dp2", {}), ("ep2", MOE)]
UNCHANGED = [("dp2-dropout", DP2_DROPOUT), ("interleaved", INTERLEAVED)]


@pytest.fixture(scope="module")
def journeys(tmp_path_factory):
    """Return what the unbroken runs saw, by name, and each resumed run, by the list it is in."""
    root = tmp_path_factory.mktemp("checkpoints")

    def save(cases):
        return [{"case": case, "save": str(root / n), "at": FROM, "steps": [0, TO]} for n, case in cases.items()]

    def resume(cases):
        return [{"case": case, "load": str(root / name), "steps": [FROM, TO]} for name, case in cases]

    def travel(count, stops):
        return ranks.run(count, f"{__package__}.journeys:travel", stops)[0]

    alone = travel(1, save(SAVED))
    two = travel(2, [*save(SAVED_BY_TWO), *resume(IN_TWO), *resume(UNCHANGED)])
    one = travel(1, resume(IN_ONE))
    unbroken = dict(zip([*SAVED, *SAVED_BY_TWO], [*alone, *two]))
    two = two[len(SAVED_BY_TWO) :]
    return unbroken, {"two": two[: len(IN_TWO)], "unchanged": two[len(IN_TWO) :], "one": one}


def assert_goes_on(resumed, unbroken):
    expected = unbroken["steps"][FROM:]
    assert [loss for loss, _ in resumed["steps"]] == pytest.approx([loss for loss, _ in expected], abs=1e-5)
    assert [norm for _, norm in resumed["steps"]] == pytest.approx([norm for _, norm in expected], abs=1e-4)
    assert resumed["updates"] == TO
    assert resumed["loop"] == {"step": FROM, "rows": 8, "tokens": 256, "guard": {"mean": 6.25}}


def test_every_save_succeeds(journeys):
    assert [seen["error"] for seen in journeys[0].values()] == [""] * len(journeys[0])


@pytest.mark.parametrize("number", range(len(IN_ONE)), ids=lambda n: f"{IN_ONE[n][0]}-to-one")
def test_what_two_ranks_saved_goes_on_in_one(journeys, number):
    unbroken, resumed = journeys
    assert_goes_on(resumed["one"][number], unbroken[IN_ONE[number][0]])
    assert not resumed["one"][number]["same_random"]


@pytest.mark.parametrize("number", range(len(IN_TWO)), ids=lambda n: f"{IN_TWO[n][0]}-to-{n}")
def test_a_checkpoint_goes_on_in_two_ranks(journeys, number):
    unbroken, resumed = journeys
    assert_goes_on(resumed["two"][number], unbroken[IN_TWO[number][0]])


@pytest.mark.parametrize("number", range(len(UNCHANGED)), ids=lambda n: UNCHANGED[n][0])
def test_the_same_sizes_go_on_bit_for_bit(journeys, number):
    unbroken, resumed = journeys
    seen = resumed["unchanged"][number]
    assert seen["steps"] == unbroken[UNCHANGED[number][0]]["steps"][FROM:]
    assert seen["same_random"]
