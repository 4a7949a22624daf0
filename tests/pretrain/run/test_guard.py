import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain.config import Guard as Settings
from pretrain.errors import TrainingError
from pretrain.run.guard import Guard

SETTINGS = Settings(spike=2.0, spike_window=4, max_bad_steps=2)
LOSSES = st.lists(st.one_of(st.floats(0.5, 20), st.sampled_from([math.nan, math.inf])), max_size=60)


def plain_verdicts(losses, settings):
    """The rule, in plain Python over the whole history."""
    accepted, verdicts = [], []
    for loss in losses:
        window = accepted[-settings.spike_window :]
        if not math.isfinite(loss):
            verdicts.append("nan")
        elif len(window) == settings.spike_window and loss > settings.spike * (math.fsum(window) / len(window)):
            verdicts.append("spike")
        else:
            verdicts.append("ok")
            accepted.append(loss)
    return verdicts


@given(LOSSES)
def test_against_the_rule_over_the_whole_history(losses):
    guard = Guard(SETTINGS)
    verdicts = [guard.judge(loss, 1.0) for loss in losses]
    assert verdicts == plain_verdicts(losses, SETTINGS)
    assert guard.bad_steps == len(verdicts) - verdicts.count("ok")


@given(LOSSES, st.integers(0, 60))
def test_a_resumed_guard_judges_as_the_unbroken_one(losses, cut):
    unbroken, first, second = Guard(SETTINGS), Guard(SETTINGS), Guard(SETTINGS)
    wanted = [unbroken.judge(loss, 1.0) for loss in losses]
    before = [first.judge(loss, 1.0) for loss in losses[:cut]]
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert before + [second.judge(loss, 1.0) for loss in losses[cut:]] == wanted
    assert second.state_dict() == unbroken.state_dict()


def test_a_norm_that_is_not_finite_is_a_bad_batch():
    assert Guard(SETTINGS).judge(2.0, math.inf) == "nan"


def test_no_spike_is_seen_with_spike_0():
    guard = Guard(Settings(spike=0, spike_window=1))
    assert [guard.judge(loss, 1.0) for loss in (1.0, 1000.0)] == ["ok", "ok"]


def test_one_bad_batch_too_many_stops_the_run_and_names_its_documents(tmp_path):
    guard = Guard(SETTINGS)
    ids = [f"doc-{i}" for i in range(5)]
    for step in (7, 8):
        verdict = guard.judge(math.nan, 1.0)
        assert guard.record(str(tmp_path), step, math.nan, 1.0, verdict, lambda: ids) == ids
    for loss in (1.0, 1.0, 1.0, 1.0):
        guard.judge(loss, 1.0)
    verdict = guard.judge(5.0, 1.5)
    with pytest.raises(TrainingError, match=r"step 9: loss 5\.0000 is 5\.0 times .* doc-0, doc-1, doc-2 and 2 more"):
        guard.record(str(tmp_path), 9, 5.0, 1.5, verdict, lambda: ids)
    assert sorted(path.name for path in (tmp_path / "bad_batches").iterdir()) == [
        "step-7.json", "step-8.json", "step-9.json"
    ]  # fmt: skip
    assert json.loads((tmp_path / "bad_batches/step-7.json").read_text()) == {
        "step": 7, "verdict": "nan", "loss": "nan", "grad_norm": 1.0, "mean_loss": "nan", "documents": ids,
    }  # fmt: skip
    assert json.loads((tmp_path / "bad_batches/step-9.json").read_text())["mean_loss"] == 1.0


def test_only_one_rank_writes_but_all_stop(tmp_path):
    guard = Guard(Settings(max_bad_steps=0))
    verdict = guard.judge(math.nan, 1.0)
    with pytest.raises(TrainingError, match="is not finite"):
        guard.record(str(tmp_path), 1, math.nan, 1.0, verdict, list, writes=False)
    assert not list(tmp_path.iterdir())
