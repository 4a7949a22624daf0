"""The folder of checkpoints, without the engine: what is kept, what is taken, what is refused."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace import storage, tables
from pretrain.errors import CheckpointError
from pretrain.run import checkpoints
from pretrain.run.checkpoints import About, Folder, damage, differences, doomed, reading, refuse_other

ABOUT = About(
    model={"hidden_size": 256, "layers": 4, "dropout": 0.0, "positions": 64, "position_embedding": "rope"},
    tokenizer="aa",
    data={"shards": {"web": "11", "books": "22"}, "seed": 0},
    master_weights=False,
    parallel={"tensor": 1},
    versions={"megatron-core": "0.16.1"},
)


def publish(folder, step, about=ABOUT, content=b"weights" * 100):
    aside = folder.aside(step)
    storage.write_bytes(str(aside / "__0_0.distcp"), content)
    storage.write_bytes(str(aside / ".metadata"), b"where they lie")
    files = {path.name: tables.checksum(str(path)) for path in aside.iterdir()}
    return folder.publish(step, {"rows": step * 8, "tokens": step * 512, **dataclasses.asdict(about)}, files)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "checkpoints")


steps = st.lists(st.integers(0, 60), unique=True).map(sorted)


@given(steps, st.integers(1, 5), st.integers(0, 7), st.integers(0, 60))
def test_what_goes_is_neither_new_nor_wanted(steps, last, every, named):
    gone = doomed(steps, last, every, named)
    stay = [step for step in steps if step not in gone]
    assert set(steps[-last:]) <= set(stay)
    assert {step for step in steps if step == named or (every and step % every == 0)} <= set(stay)
    assert len([s for s in stay if s != named and not (every and s % every == 0)]) <= last
    assert doomed(stay, last, every, named) == []


@given(steps, st.integers(1, 5), st.integers(0, 7))
def test_saving_one_by_one_keeps_what_saving_all_keeps(steps, last, every):
    stay = []
    for step in steps:
        stay.append(step)
        stay = [s for s in stay if s not in doomed(stay, last, every, step)]
    assert stay == [s for s in steps if s not in doomed(steps, last, every, None)]


def test_a_checkpoint_appears_whole_and_old_ones_go(folder):
    kept = Folder(folder.path, keep_last=2, keep_every=20)
    for step in (10, 20, 30, 40, 50):
        assert publish(kept, step) == kept.at(step)
        assert kept.latest() == (kept.at(step), [])
        assert (kept.path / "latest").read_text() == f"step-{step:08d}\n"
    assert kept.steps() == [20, 40, 50]
    assert sorted(path.name for path in kept.path.iterdir())[0] == "latest"  # nothing passing is left


def test_the_manifest_says_what_it_is(folder):
    path = publish(folder, 10)
    found = json.loads((path / "checkpoint.json").read_text())
    assert found["step"] == 10
    assert found["rows"] == 80
    assert found["model"] == ABOUT.model
    assert found["files"]["__0_0.distcp"] == tables.checksum(str(path / "__0_0.distcp"))


def half_written(path):
    (path / "checkpoint.json").unlink()


def cut_manifest(path):
    (path / "checkpoint.json").write_bytes((path / "checkpoint.json").read_bytes()[:50])


def cut(path):
    (path / "__0_0.distcp").write_bytes(b"weights")


def flip(path):
    content = bytearray((path / "__0_0.distcp").read_bytes())
    content[300] ^= 1
    (path / "__0_0.distcp").write_bytes(content)


def lose(path):
    (path / ".metadata").unlink()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (half_written, "half-written"),
        (cut_manifest, "half-written"),
        (cut, "__0_0.distcp has 7 bytes, 700 were written"),
        (flip, "__0_0.distcp is damaged"),
        (lose, ".metadata is missing"),
    ],
)
def test_a_harmed_checkpoint_is_named_and_the_one_before_taken(folder, harm, words):
    publish(folder, 10)
    harm(publish(folder, 20))
    path, passed = folder.latest()
    assert path == folder.at(10)
    assert len(passed) == 1
    assert passed[0].startswith(str(folder.at(20)))
    assert words in passed[0]


def test_ranks_share_the_hashing_and_together_miss_nothing(folder):
    path = publish(folder, 10)
    flip(path)
    found = [damage(path, part, 2) for part in (0, 1)]
    assert sorted(map(len, found)) == [0, 1]


def test_a_run_begins_anew_only_where_there_is_no_checkpoint(folder):
    assert folder.latest() == (None, [])
    lose(publish(folder, 10))
    with pytest.raises(CheckpointError, match=r"no whole checkpoint, .* \.metadata is missing"):
        folder.latest()


def test_the_same_step_again_takes_the_place_of_the_first(folder):
    lose(publish(folder, 10))
    publish(folder, 10, content=b"other")
    assert folder.latest() == (folder.at(10), [])
    assert (folder.at(10) / "__0_0.distcp").read_bytes() == b"other"


def test_one_that_is_read_is_let_go_later(folder):
    one = Folder(folder.path, keep_last=1)
    with reading(publish(one, 10)):
        publish(one, 20)
        assert one.steps() == [10, 20]
    publish(one, 30)
    assert one.steps() == [30]


def test_what_killed_saves_left_is_removed_and_no_more(folder):
    path = publish(folder, 10)
    storage.write_bytes(str(folder.aside(20) / "__0_0.distcp"), b"half")
    storage.write_bytes(str(folder.path / ".step-00000005.removing" / "__0_0.distcp"), b"half")
    storage.write_bytes(str(folder.path / ".latest.1a2b.tmp"), b"st")
    storage.write_bytes(str(folder.path / "notes.txt"), b"mine")
    folder.clean()
    assert sorted(p.name for p in folder.path.iterdir()) == ["latest", "notes.txt", path.name]
    assert folder.latest() == (path, [])


def change(**fields):
    return dataclasses.replace(ABOUT, **fields)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            change(model={**ABOUT.model, "hidden_size": 128}),
            "another model: hidden_size 256 in the checkpoint, 128 in the configuration",
        ),
        (change(tokenizer="bb"), "another tokenizer: aa in the checkpoint, bb in the shards"),
        (
            change(data={**ABOUT.data, "shards": {"web": "11", "books": "33"}}),
            "other data: shards.books 22 in the checkpoint, 33 in the configuration",
        ),
        (change(data={**ABOUT.data, "seed": 1}), "other data: seed 0 in the checkpoint, 1 in the configuration"),
        (change(master_weights=True), "another precision: fp32 in the checkpoint, bf16 or fp8"),
    ],
)
def test_another_run_is_refused_by_what_differs(folder, other, words):
    path = publish(folder, 10)
    with pytest.raises(CheckpointError, match=words) as refused:
        refuse_other(path, other)
    assert "\n" not in str(refused.value)


def test_what_may_change_is_accepted_or_noted(folder):
    path = publish(folder, 10)
    assert refuse_other(path, ABOUT) == []
    assert refuse_other(path, change(parallel={"tensor": 8})) == []
    assert refuse_other(path, change(model={**ABOUT.model, "dropout": 0.1, "positions": 128})) == []
    assert refuse_other(path, change(versions={"megatron-core": "0.17.0"})) == [
        "megatron-core 0.16.1 wrote the checkpoint, this is 0.17.0"
    ]
    assert refuse_other(path, change(data={**ABOUT.data, "seed": 1}), other_data=True) == [
        "other data than the checkpoint's: seed 0 in the checkpoint, 1 in the configuration"
    ]


def test_learned_positions_are_part_of_the_model(folder):
    learned = {**ABOUT.model, "position_embedding": "learned"}
    path = publish(folder, 10, change(model=learned))
    with pytest.raises(CheckpointError, match="positions 64 in the checkpoint, 128"):
        refuse_other(path, change(model={**learned, "positions": 128}))


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path, folder):
    with pytest.raises(CheckpointError, match="no such folder"):
        checkpoints.manifest(tmp_path / "absent")
    path = publish(folder, 10)
    content = json.loads((path / "checkpoint.json").read_text())
    (path / "checkpoint.json").write_text(json.dumps({**content, "format": 2}))
    with pytest.raises(CheckpointError, match="checkpoint format 2; this version reads format 1"):
        checkpoints.manifest(path)


def test_only_file_systems_hold_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match="s3://bucket/run is none"):
        Folder.of("s3://bucket/run")
    assert Folder.of(f"file://{tmp_path}").path == tmp_path


leaves = st.one_of(st.booleans(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3))
trees = st.recursive(leaves, lambda inner: st.dictionaries(st.text("abc", min_size=1), inner, max_size=3), max_leaves=6)


@given(trees)
def test_nothing_differs_from_itself_nor_from_its_json(tree):
    assert differences(tree, json.loads(json.dumps(tree))) == []


@given(trees, trees)
def test_two_are_equal_or_differ_by_name(one, other):
    assert (differences(one, other) == []) == (one == other)
