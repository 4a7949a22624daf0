"""Checkpoints by real ranks: what is loaded goes on as if nothing had happened, whichever sizes wrote it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pretrain.run.checkpoints import Folder
from tests.pretrain.mcore import ranks

pytestmark = pytest.mark.slow  # five starts of ranks

FROM, TO = 1, 4
MOE = {"model": {"experts": 4, "experts_per_token": 2}}
TP2 = {"parallel": {"tensor": 2, "sequence": True}}
PP2 = {"parallel": {"pipeline": 2}}
INTERLEAVED = {"parallel": {"pipeline": 2, "virtual_pipeline": 2}}
DP2 = {"parallel": {"distributed_optimizer": True, "overlap": True}}
EP2 = {"parallel": {"expert": 2, "distributed_optimizer": True}, **MOE}
BF16 = {"training": {"precision": "bf16"}}
DP2_BF16 = {**DP2, **BF16}
DP2_DROPOUT = {**DP2, "model": {"dropout": 0.1}}
SAVED = {"one": {}, "moe": MOE}  # by one rank
SAVED_BY_TWO = {"tp2": TP2, "interleaved": INTERLEAVED, "dp2": DP2, "ep2": EP2, "dp2-bf16": DP2_BF16,
                "dp2-dropout": DP2_DROPOUT}  # fmt: skip
IN_TWO = [("one", TP2), ("dp2", TP2), ("tp2", DP2), ("interleaved", PP2),
          ("moe", EP2), ("dp2-bf16", BF16)]  # fmt: skip
IN_ONE = [("tp2", {}), ("interleaved", {}), ("dp2", {}), ("ep2", MOE)]
UNCHANGED = [("dp2-dropout", DP2_DROPOUT), ("interleaved", INTERLEAVED)]


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory):
    """Yield the folder of a disk of 5 MB, None where only root may mount one."""
    disk = tmp_path_factory.mktemp("disk")
    mount = shutil.which("mount")
    mounted = mount and not subprocess.run([mount, "-t", "tmpfs", "-o", "size=5m", "tmpfs", disk]).returncode
    yield disk if mounted else None
    if mounted:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture(scope="module")
def journeys(tmp_path_factory, small_disk):
    """Return what ranks saw: the unbroken runs by name, the resumed ones by the list they are in, the mishaps."""
    root = tmp_path_factory.mktemp("checkpoints")
    module = f"{__package__}.journeys:several"

    def save(cases):
        return [{"case": case, "save": str(root / n), "at": FROM, "steps": [0, TO]} for n, case in cases.items()]

    def resume(cases):
        return [{"case": case, "load": str(root / name), "steps": [FROM, TO]} for name, case in cases]

    calls = [("travel", [save(SAVED)]), ("stock_faults", []), ("limit_files", [str(root / "limit"), 1_000_000])]
    if small_disk:
        (small_disk / "ballast").write_bytes(bytes(1_000_000))
        calls.append(("fill_disk", [str(small_disk / "run"), str(small_disk / "ballast")]))
    alone, *mishaps = ranks.run(1, module, calls)[0]
    stops = [save(SAVED_BY_TWO), resume(IN_TWO), resume(UNCHANGED)]
    calls = [*(("travel", [stop]) for stop in stops), ("limit_files", [str(root / "limit2"), 1_000_000])]
    (saved, two, unchanged, limited), other = ranks.run(2, module, calls)
    assert other[-1] == limited
    one = ranks.run(1, module, [("travel", [resume(IN_ONE)])])[0][0]
    unbroken = dict(zip([*SAVED, *SAVED_BY_TWO], [*alone, *saved]))
    return {"unbroken": unbroken, "two": two, "unchanged": unchanged, "one": one, "one rank": limited} | dict(
        zip(("faults", "limit", "disk"), mishaps)
    )


def assert_goes_on(resumed, unbroken):
    expected = unbroken["steps"][FROM:]
    assert [loss for loss, _ in resumed["steps"]] == pytest.approx([loss for loss, _ in expected], abs=1e-5)
    assert [norm for _, norm in resumed["steps"]] == pytest.approx([norm for _, norm in expected], abs=1e-4)
    assert resumed["updates"] == TO
    assert resumed["loop"] == {"step": FROM, "rows": 4, "tokens": 128, "guard": {"mean": 6.25}}


def test_every_save_succeeds(journeys):
    assert {seen["error"] for seen in journeys["unbroken"].values()} == {""}


@pytest.mark.parametrize("number", range(len(IN_ONE)), ids=lambda n: f"{IN_ONE[n][0]}-to-one")
def test_what_two_ranks_saved_goes_on_in_one(journeys, number):
    resumed = journeys["one"][number]
    assert_goes_on(resumed, journeys["unbroken"][IN_ONE[number][0]])
    assert not resumed["same_random"]


@pytest.mark.parametrize("number", range(len(IN_TWO)), ids=lambda n: f"{IN_TWO[n][0]}-to-{n}")
def test_a_checkpoint_goes_on_in_two_ranks(journeys, number):
    assert_goes_on(journeys["two"][number], journeys["unbroken"][IN_TWO[number][0]])


@pytest.mark.parametrize("number", range(len(UNCHANGED)), ids=lambda n: UNCHANGED[n][0])
def test_the_same_sizes_go_on_bit_for_bit(journeys, number):
    resumed = journeys["unchanged"][number]
    assert resumed["steps"] == journeys["unbroken"][UNCHANGED[number][0]]["steps"][FROM:]
    assert resumed["same_random"]


def test_megatron_still_cannot_load_the_state_of_torchs_adamw(journeys):
    # `layout` neither calls DistributedOptimizer.state_dict nor load_state_dict: where Apex and Transformer Engine
    # are absent they fail, and at last give one counter of updates to all parameters, which each then counts up
    assert journeys["faults"] == {
        "state of a fresh optimizer": "AssertionError",
        "moments": "KeyError 'step'",
        "updates": "one tensor for all parameters",
    }


def test_a_save_that_is_killed_leaves_the_checkpoint_before_it(tmp_path):
    folder = Folder(tmp_path)
    with pytest.raises(AssertionError, match=r"exit codes \[-9\]"):
        ranks.run(1, f"{__package__}.journeys:die_while_saving", str(tmp_path))
    assert (tmp_path / "children").read_text() == "[]"  # none that could live on
    assert (folder.aside(2) / "__0_0.distcp").stat().st_size > 1e6
    assert folder.latest() == (folder.at(1), [])
    folder.clean()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["children", "latest", "step-00000001"]


@pytest.mark.parametrize(
    ("mishap", "words"),
    [("limit", "File too large"), ("one rank", "File too large"), ("disk", "No space left on device")],
)
def test_a_full_disk_fails_one_save_and_no_other(journeys, mishap, words):
    if mishap not in journeys:
        pytest.skip("only root mounts a small disk; the limit on a file's size stands for it")
    before, full, after = journeys[mishap]
    assert before == ["", ["latest", "step-00000001"]]
    assert full[0].endswith(words)
    assert full[1] == ["latest", "step-00000001"]
    assert after == ["", ["latest", "step-00000001", "step-00000003"]]
