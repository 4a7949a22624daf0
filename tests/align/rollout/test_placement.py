from __future__ import annotations

import dataclasses

import pytest

from align.config import Placement
from align.errors import AlignSettingsError
from align.rollout.placement import Placed, describe, placed, ranges, read, roles, sending
from pretrain.run.place import Place


def test_ranges_are_read_and_written_back():
    for text, ranks in {"0": (0,), "0-3,6": (0, 1, 2, 3, 6), "5,1-2": (1, 2, 5), "7-7": (7,)}.items():
        assert read(text, "actor", 8) == ranks
        assert read(ranges(ranks), "actor", 8) == ranks
    assert read("", "actor", 3) == (0, 1, 2)
    assert ranges((1, 2, 5)) == "1-2,5"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0-", "expected ranges of ranks such as 0-3,6"),
        ("a", "expected ranges of ranks"),
        ("0,,1", "expected ranges of ranks"),
        ("3-1", "the range 3-1 is empty"),
        ("2-4", r"names rank 4; there are ranks 0-3"),
        ("0-2,1", "names rank 1 twice"),
    ],
)
def test_what_is_no_range_of_ranks_is_refused(text, message):
    with pytest.raises(AlignSettingsError, match=r"placement\.critic .*" + message):
        read(text, "critic", 4)


def test_asynchronous_generation_has_ranks_of_its_own():
    apart = Placement(actor="0-1", critic="0-1", reference="0", reward="1", generate="2-3")
    assert roles(apart, 4, asynchronous=True)["generate"] == (2, 3)
    with pytest.raises(AlignSettingsError, match=r"asynchronous needs placement\.generate"):
        roles(Placement(actor="0-1"), 4, asynchronous=True)
    for role in ("actor", "critic", "reference", "reward"):
        shared = dataclasses.replace(apart, **{role: "1-2"})
        with pytest.raises(AlignSettingsError, match=rf"placement\.{role} '1-2' share rank 2"):
            roles(shared, 4, asynchronous=True)
        assert roles(shared, 4)[role] == (1, 2)
    with pytest.raises(AlignSettingsError, match=r"placement\.critic 'all' share rank 2"):
        roles(dataclasses.replace(apart, critic=""), 4, asynchronous=True)


def test_what_is_said_of_a_placement():
    held = roles(Placement(actor="0-1", critic="1-2", reference="0", reward="0", generate="0"), 4)
    assert describe(held, 4) == [
        "ranks 0: actor, reference, reward, generate, in turn",
        "ranks 1: actor, critic, in turn",
        "ranks 2: critic",
        "ranks 3: nothing",
    ]
    assert describe(roles(Placement(), 4), 4) == []


def test_one_rank_holds_everything_without_groups():
    here = placed(Placement(), Place(0, 1, 0, 1, 0))
    assert (here.ranks("actor"), here.holds("generate"), here.group("critic"), here.takers) == (None, True, None, ())
    with pytest.raises(AlignSettingsError, match=r"no role is called critics\. Did you mean critic"):
        here.ranks("critics")


def test_weights_go_from_the_actors_first_rank_to_those_without_them():
    here = Placed(roles(Placement(actor="1-2", generate="2-3"), 4), 3, 4)
    assert (here.source, here.takers, sending(here), here.workers) == (1, (3,), (1, 3), 2)
    assert here.ranks("critic") is None
