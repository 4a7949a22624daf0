"""Checkpoints by real ranks: what is loaded goes on as if nothing had happened, whichever sizes wrote it."""

from __future__ import annotations

import pytest

from tests.pretrain.mcore import ranks

FROM, TO = 3, 6
MOE = {"model": {"experts": 4, "experts_per_token": 2}}
TP2 = {"parallel": {"tensor": 2, "sequence": True}}
PP2 = {"parallel": {"pipeline": 2}}
INTERLEAVED = {"parallel": {"pipeline": 2, "virtual_pipeline": 2}}
DP2 = {"parallel": {"distributed_optimizer": True, "overlap": True}}
PLAIN = {}
EP2 = {"parallel": {"expert": 2}, **MOE}
EP2_DISTRIBUTED = {"parallel": {"expert": 2, "distributed_optimizer": True}, **MOE}
BF16 = {"training": {"precision": "bf16"}}
DROPOUT = {"model": {"dropout": 0.1}}
TWO_RANKS = {
    "tp2": TP2, "pp2": PP2, "interleaved": INTERLEAVED, "dp2": DP2, "plain": PLAIN, "ep2": EP2,
    "ep2-distributed": EP2_DISTRIBUTED, "dp2-bf16": {**DP2, **BF16}, "dp2-dropout": {**DP2, **DROPOUT},
}  # fmt: skip


def save(case, folder):
    return {"case": case, "save": str(folder), "at": FROM, "steps": [0, TO]}


def resume(case, folder):
    return {"case": case, "load": str(folder), "steps": [FROM, TO]}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return the folder of each journey's checkpoint and what its unbroken run saw."""
    root = tmp_path_factory.mktemp("checkpoints")
    alone = {"one": {}, "moe": MOE}
    seen = {}
    for count, journeys in ((1, alone), (2, TWO_RANKS)):
        answers = ranks.run(count, f"{__package__}.journeys:travel", [save(c, root / n) for n, c in journeys.items()])
        assert all(not stop["error"] for rank in answers for stop in rank)
        seen |= dict(zip(journeys, answers[0]))
    return root, seen


def going_on(seen, name):
    return seen[name]["steps"][FROM:]


def assert_same(found, expected, loss=1e-5, norm=1e-4):
    assert [a for a, _ in found] == pytest.approx([a for a, _ in expected], abs=loss)
    assert [b for _, b in found] == pytest.approx([b for _, b in expected], abs=norm)


def test_checkpoints_of_two_ranks_go_on_in_one(written):
    root, seen = written
    names = {"tp2": {}, "pp2": {}, "interleaved": {}, "dp2": {}, "plain": {}, "ep2": MOE, "ep2-distributed": MOE}
    stops = [resume(case, root / name) for name, case in names.items()]
    for name, answer in zip(names, ranks.run(1, f"{__package__}.journeys:travel", stops)[0]):
        assert_same(answer["steps"], going_on(seen, name))
        assert answer["updates"] == TO
        assert answer["loop"] == {"step": FROM, "rows": 24, "tokens": 768, "guard": {"mean": 6.25}}
        assert not answer["same_random"]


def test_checkpoints_go_on_in_two_ranks(written):
    root, seen = written
    journeys = [
        ("one", TP2), ("one", INTERLEAVED), ("one", DP2), ("dp2", TP2), ("tp2", DP2), ("interleaved", PP2),
        ("dp2", PLAIN), ("plain", DP2), ("moe", EP2), ("moe", EP2_DISTRIBUTED), ("dp2-bf16", BF16),
    ]  # fmt: skip
    stops = [resume(case, root / name) for name, case in journeys]
    for (name, _), answer in zip(journeys, ranks.run(2, f"{__package__}.journeys:travel", stops)[0]):
        assert_same(answer["steps"], going_on(seen, name))


def test_the_same_sizes_go_on_bit_for_bit(written):
    root, seen = written
    stops = [resume(TWO_RANKS[name], root / name) for name in ("dp2-dropout", "interleaved", "ep2-distributed")]
    answers = ranks.run(2, f"{__package__}.journeys:travel", stops)[0]
    for name, answer in zip(("dp2-dropout", "interleaved", "ep2-distributed"), answers):
        assert answer["steps"] == going_on(seen, name)
        assert answer["same_random"]
