"""Rollouts on real ranks, which gloo joins."""

from __future__ import annotations

import pytest

from tests.pretrain.mcore.ranks import run

MODULE = "tests.align.rollout.on_ranks"


pytestmark = pytest.mark.slow  # two processes


@pytest.fixture(scope="module")
def ranks():
    return run(2, f"{MODULE}:two_ranks")


def test_ranks_that_pull_from_one_queue_get_what_one_rank_makes(ranks):
    for rank in ranks:
        assert rank["queue"]["same"]
        assert rank["queue"]["workers"] == [2, 1]
    taken, cut = ranks[0]["queue"]["taken"]
    assert taken >= cut + 2  # every chunk, and one look of each worker at the end


def test_ranks_that_share_a_model_take_the_same_chunks_and_give_their_completions_once(ranks):
    for rank in ranks:
        assert rank["team"] == {"same": True, "chunks": True, "looks": 1, "workers": 1}


def test_what_one_worker_refuses_all_ranks_hear(ranks):
    assert [rank["queue"]["failed"] for rank in ranks] == ["rank 1 cannot"] * 2


def test_weights_arrive_whole_with_their_version_and_a_misfit_is_heard_by_all(ranks):
    for rank in ranks:
        assert rank["handed_over"]["arrived"]
        assert rank["handed_over"]["version"] == 11
        assert "rank 1: model.embed_tokens.weight has the shape" in rank["handed_over"]["refused"]


def test_ranks_meet_in_collectives_while_completions_are_drawn(ranks):
    assert [rank["met"] for rank in ranks] == [2 + 8] * 2


def test_completions_drawn_ahead_are_one_version_old(ranks):
    for rank in ranks:
        assert [step["versions"] for step in rank["asynchronous"]["steps"]] == [[0], [0], [1], [2], [3]]
        assert rank["asynchronous"]["drawn_by_the_weights_of_one_step_before"]
    assert [step["lag"] for step in ranks[0]["asynchronous"]["steps"]] == [0, 1, 1, 1, 1]


def test_stale_completions_are_weighed_not_refused(ranks):
    fresh, *stale = ranks[0]["asynchronous"]["steps"]
    assert fresh["ratio_error"] == pytest.approx(1, abs=1e-5)
    assert fresh["importance_off"] < 1e-4
    assert all(step["ratio_error"] > 1.001 and step["importance_off"] > 1e-3 for step in stale)


def test_a_run_ahead_repeats_itself_and_goes_on_after_a_stop_as_if_there_was_none(ranks):
    one, again = ranks[0]["asynchronous"]["again"]
    assert one == again
    one, resumed = ranks[0]["asynchronous"]["resumed"]
    assert one == pytest.approx(resumed, abs=0)


def test_two_steps_are_never_under_way(ranks):
    for rank in ranks:
        assert "take() them before the next begin()" in rank["asynchronous"]["twice"]
        assert "no completions are under way" in rank["asynchronous"]["nothing"]


@pytest.mark.slow
def test_roles_that_overlap_take_turns_with_fresh_weights():
    first, second, third = run(3, f"{MODULE}:three_ranks")
    for rank in (first, second, third):
        assert [step["version"] for step in rank["steps"]] == [0, 1, 2]
        assert rank["groups"] == 4  # actor, generate, the other roles' rank 0, and weights from 0 to 2
    assert first["weight"] == second["weight"]
    for rank in (first, second):
        assert all(step["lag"] == 0 and step["ratio_error"] < 1.0001 for step in rank["steps"])
